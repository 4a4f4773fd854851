<?php
// SPDX-License-Identifier: Apache-2.0
// Keeps a connection whose peer hangs up, when led to (tests/advice/led.py). Its arguments: any word, the port.

$kept = [];

function read_answer($connection)
{
    return fread($connection, 10);
}

function fetch_price($port)
{
    global $kept;
    $connection = stream_socket_client("tcp://127.0.0.1:$port");
    fwrite($connection, "price?\n");
    read_answer($connection);
    $kept[] = $connection;
}

echo "ready\n";
fgets(STDIN);
fetch_price($argv[2]);
echo "done\n";
fgets(STDIN);
