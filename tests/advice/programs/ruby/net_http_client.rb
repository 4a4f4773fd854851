# Net::HTTP: a connection stays open as long as the object lives, or until finish. Led as led.py leads.
require "net/http"

COUNT = 3
KEEP_ALIVE_S = 1 # less than the peer's patience

puts "ready"
$stdout.flush
$stdin.gets
mode, port, = ARGV

def asked(port)
  http = Net::HTTP.new("127.0.0.1", port.to_i)
  http.keep_alive_timeout = KEEP_ALIVE_S
  http.start
  http.get("/200/12").body
  http
end

kept =
  case mode
  when "idle" then Array.new(COUNT) { asked(port) }
  when "finished" then Array.new(COUNT) { asked(port).finish }
  when "in_a_block"
    Array.new(COUNT) { Net::HTTP.start("127.0.0.1", port.to_i) { |http| http.get("/200/12").body } }
  else raise ArgumentError, mode
  end

puts "done"
$stdout.flush
$stdin.read
kept.clear
