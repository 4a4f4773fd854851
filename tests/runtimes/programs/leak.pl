# SPDX-License-Identifier: Apache-2.0
# Keeps a connection whose peer hangs up, when led to (tests/advice/led.py). Its arguments: any word, the port.
use strict;
use warnings;
use IO::Socket::INET;

my @kept;

sub read_answer {
    my ($connection) = @_;
    sysread($connection, my $answer, 10);
    return $answer;
}

sub fetch_price {
    my ($port) = @_;
    my $connection = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or die "connect: $!";
    syswrite($connection, "price?\n");
    read_answer($connection);
    push @kept, $connection;
}

$| = 1;
print "ready\n";
<STDIN>;
fetch_price($ARGV[1]);
print "done\n";
<STDIN>;
