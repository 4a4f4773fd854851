# SPDX-License-Identifier: Apache-2.0
# Makes one call on a socket from below many shapes of Ruby stacks, and says each time where it is.
#
# shapes.rb PORT: it begins when it gets a line. Each shape has a connection of its own to PORT on 127.0.0.1, which is
# read once and stays open. The line printed before has the shape's name, the connection's local port, and [label, file,
# line] of each frame, innermost first. Each shape is called by a method of its own name. At the end it prints "END" and
# waits for its standard input to end. Runs on Ruby 3.1 and later.
require "forwardable"
require "json"
require "monitor"
require "socket"
require "tempfile"
require "timeout"

PORT = Integer(ARGV[0])
KEPT = []
$shape = "none"
$stdout.sync = true

# Says where the caller is; the number of bytes that it is to read.
def told(sock)
  frames = caller_locations(1).map { |one| [one.label, one.path, one.lineno] }
  puts JSON.generate([$shape, sock.local_address.ip_port, frames])
  1
end

def leaf
  sock = TCPSocket.new("127.0.0.1", PORT)
  KEPT << sock
  sock.recv(told(sock))
  3
end

def deep(n)
  n <= 0 ? leaf : deep(n - 1)
end

class Account
  include Comparable
  extend Forwardable
  def_delegator :self, :plain, :delegated
  attr_reader :price

  def initialize(at_last = false)
    leaf if at_last
  end

  def plain = leaf

  def method(n)
    n <= 0 ? leaf : other(n - 1)
  end

  def other(n)
    method(n - 1)
  end

  def self.of_class = of_singleton

  class << self
    def of_singleton
      leaf
    end

    define_method(:defined_on_class) { leaf }
  end

  define_method(:defined) { |n| n <= 0 ? leaf : defined(n - 1) }

  def method_missing(name, *words)
    name == :missing ? leaf : super
  end

  def respond_to_missing?(name, _all)
    leaf if name == :asked
    false
  end

  def <=>(_other)
    leaf
    0
  end

  def ==(_other)
    leaf
    true
  end

  def hash
    leaf
    1
  end

  def to_s
    leaf
    "account"
  end

  def coerce(_other)
    leaf
    [1, 1]
  end

  def [](_key) = leaf

  def each
    yield leaf
  end

  def to_proc
    leaf
    proc {}
  end

  def with_block(&block)
    block.call
  end

  def yielding
    yield
  end

  private def hidden = leaf
end

class Heir < Account
  def method(n)
    super
  end

  def self.inherited(_heir)
    leaf
  end
end

module Mixed
  def mixed = leaf

  def self.included(_into)
    leaf
  end

  module_function

  def free = leaf
end

module Refined
  refine String do
    def refined = leaf
  end
end
using Refined

def keywords(first, *rest, key: leaf, **more)
  [first, rest, key, more]
end

def in_rescue
  raise "x"
rescue RuntimeError
  leaf
end

def in_ensure
  1
ensure
  leaf
end

def long_lines
  [
    1,
    (
      leaf ||
      2
    ),
  ].max
end

def many_lines(n)
  case n
  when 0 then 1
  when 1 then 2
  when 2 then 3
  when 3 then 4
  when 4 then 5
  when 5 then 6
  when 6 then 7
  when 7 then 8
  when 8 then 9
  when 9
    x = [n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7, n + 8, n + 9]
    y = { a: x[0], b: x[1], c: x[2], d: x[3], e: x[4], f: x[5], g: x[6], h: x[7], i: x[8] }
    z = y.size + x.size + n * 2 + n * 3 + n * 4 + n * 5 + n * 6 + n * 7 + n * 8 + n * 9
    w = z + z + z + z + z + z + z + z + z + z + z + z + z + z + z + z + z + z + z + z + z
    v = [w, z, w, z, w, z, w, z, w, z, w, z, w, z, w, z, w, z, w, z, w, z, w, z, w, z, w, z]
    leaf
    v
  end
end

def by_load
  Tempfile.create(["loaded", ".rb"]) do |file|
    file.write("def from_file\n  leaf\nend\n\nfrom_file\n")
    file.flush
    load file.path
  end
end

def by_signal
  trap("USR1") { leaf }
  Process.kill("USR1", Process.pid)
  sleep 0.05
end

def by_tracepoint
  TracePoint.new(:line) {}.enable { deep(4) }
end

def in_enumerator
  Enumerator.new { |to| to << leaf }.next
end

def in_fiber(n)
  Fiber.new { n <= 0 ? leaf : in_fiber(n - 1) }.resume
end

def in_thread(&block)
  name = NAMED[$shape]
  Thread.new { send(name, block) }.join
end

def catching
  catch(:done) { throw :done, leaf }
end

def class_body
  Class.new do
    leaf
  end
end

def längere_größe = leaf

SHAPES = {
  **[8, 30, 60, 200].to_h { |n| ["deep #{n}", -> { deep(n) }] },
  **[8, 30, 60, 200].to_h { |n| ["methods #{n}", -> { Account.new.method(n) }] },
  "endless method" => -> { Account.new.plain },
  "class method" => -> { Account.of_class },
  "defined on class" => -> { Account.defined_on_class },
  "define_method" => -> { Account.new.defined(5) },
  "method_missing" => -> { Account.new.missing },
  "respond_to_missing" => -> { Account.new.respond_to?(:asked) },
  "delegated" => -> { Account.new.delegated },
  "initialize" => -> { Account.new(true) },
  "compare" => -> { Account.new < Account.new },
  "equal" => -> { Account.new == 3 },
  "hash" => -> { { Account.new => 1 } },
  "to_s" => -> { "an #{Account.new}" },
  "coerce" => -> { 1 + Account.new },
  "index" => -> { Account.new[1] },
  "yield" => -> { Account.new.each { |one| one } },
  "to_proc" => -> { [1].map(&Account.new) },
  "block argument" => -> { Account.new.with_block { leaf } },
  "yielding" => -> { Account.new.yielding { Account.new.yielding { leaf } } },
  "send" => -> { Account.new.send(:hidden) },
  "public_send" => -> { Account.new.public_send(:plain) },
  "method object" => -> { Account.instance_method(:plain).bind(Account.new).call },
  "symbol to_proc" => -> { [Account.new].each(&:plain) },
  "method to_proc" => -> { [3].each(&Object.instance_method(:deep).bind(self)) },
  "curry" => -> { ->(one, other) { deep(one + other) }.curry[1][2] },
  "composed" => -> { (->(n) { n + 1 } >> ->(n) { deep(n) }).call(1) },
  "super" => -> { Heir.new.method(3) },
  "inherited" => -> { Class.new(Heir) },
  "included" => -> { Class.new { include Mixed } },
  "mixed" => -> { Object.new.extend(Mixed).mixed },
  "module function" => -> { Mixed.free },
  "refinement" => -> { "x".refined },
  "keyword" => -> { keywords(1, 2, other: 3) },
  "rescue" => -> { in_rescue },
  "ensure" => -> { in_ensure },
  "long lines" => -> { long_lines },
  "many lines" => -> { many_lines(9) },
  "each" => -> { [1].each { leaf } },
  "map" => -> { [1].map { |_| leaf } },
  "each_with_index" => -> { [1].each_with_index { |_, _| leaf } },
  "sort_by" => -> { [2, 1].sort_by { |n| n == 2 ? leaf && n : n } },
  "sort" => -> { [2, 1].sort { |a, b| leaf ? a <=> b : 0 } },
  "inject" => -> { [1, 2].inject { |_, _| leaf } },
  "times" => -> { 1.times { leaf } },
  "upto" => -> { 1.upto(1) { leaf } },
  "loop" => -> { loop { break leaf } },
  "hash each" => -> { { a: 1 }.each { |_, _| leaf } },
  "fetch" => -> { {}.fetch(:a) { leaf } },
  "default" => -> { Hash.new { |_, _| leaf }[:a] },
  "gsub" => -> { "a".gsub("a") { leaf.to_s } },
  "tap" => -> { 1.tap { leaf } },
  "then" => -> { 1.then { leaf } },
  "group_by" => -> { [1].group_by { leaf } },
  "lazy" => -> { [1].lazy.map { leaf }.first(1) },
  "inject of blocks" => -> { [1].each { [2].each { [3].map { leaf } } } },
  "instance_eval" => -> { Account.new.instance_eval { leaf } },
  "instance_exec" => -> { Account.new.instance_exec(1) { |_| leaf } },
  "eval" => -> { eval("leaf") },
  "eval with a file" => -> { eval("\n\ndeep(2)", binding, "/made/template.rb", 5) },
  "class_eval" => -> { Account.class_eval("def evaluated\n  leaf\nend\nnew.evaluated", "/made/class.rb", 7) },
  "class body" => -> { class_body },
  "load" => -> { by_load },
  "catch" => -> { catching },
  "struct" => -> { Struct.new(:a) { def b = leaf }.new(1).b },
  "synchronize" => -> { Mutex.new.synchronize { leaf } },
  "monitor" => -> { Monitor.new.synchronize { leaf } },
  "timeout" => -> { Timeout.timeout(5) { leaf } },
  "signal" => -> { by_signal },
  "tracepoint" => -> { by_tracepoint },
  "other letters" => -> { längere_größe },
  "enumerator" => -> { in_enumerator },
  "fiber" => -> { in_fiber(0) },
  "fibers" => -> { in_fiber(3) },
  "thread" => -> { in_thread { deep(8) } },
  "thread 30" => -> { in_thread { deep(30) } },
  "thread, blocks" => -> { in_thread { [1].each { Account.new.yielding { leaf } } } },
  "thread, fiber" => -> { in_thread { in_fiber(1) } },
}

NAMED = SHAPES.keys.each_with_index.to_h { |name, number| [name, "shape_#{number}"] }
NAMED.each_value { |name| eval("def #{name}(shape) = shape.call", binding, __FILE__, __LINE__) }

def main
  $stdin.gets
  SHAPES.each do |name, shape|
    $shape = name
    send(NAMED[name], shape)
  end
  puts "END"
  $stdin.read
end

main
