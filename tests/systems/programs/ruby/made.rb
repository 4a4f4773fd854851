# SPDX-License-Identifier: Apache-2.0
# Makes and frees methods all the time, and says at each call on a socket where it is; see shapes.rb.
#
# made.rb PORT COUNT: each method reads one connection and is then free to be collected. Garbage is collected often.
require "json"
require "socket"

PORT, COUNT = ARGV.map { |word| Integer(word) }
KEPT = []
$stdout.sync = true

def told(sock)
  frames = caller_locations(1).map { |one| [one.label, one.path, one.lineno] }
  puts JSON.generate(["made", sock.local_address.ip_port, frames])
  1
end

def leaf
  sock = TCPSocket.new("127.0.0.1", PORT)
  KEPT << sock
  sock.recv(told(sock))
  3
end

def request(number)
  code = "def made_#{number}\n  inner_#{number}\nend\ndef inner_#{number}\n  leaf\nend\nself"
  Object.new.instance_eval(code, "/made/#{number}.rb").send("made_#{number}")
end

# Each call comes through another method that stays: so each is another code path.
COUNT.times { |number| eval("def call_#{number}(number) = request(number)", binding, __FILE__, __LINE__) }

4.times { GC.start } # as in a program that has run for a while
$stdin.gets
COUNT.times do |number|
  send("call_#{number}", number)
  GC.start(full_mark: number % 5 == 0) if number % 3 == 0
  Array.new(200) { "x" * 50 }
  sleep 0.004
end
puts "END"
$stdin.read
