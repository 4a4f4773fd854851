%% SPDX-License-Identifier: Apache-2.0
%% Keeps a connection whose peer hangs up, when led to (tests/advice/led.py). Its arguments: any word, the port.
-module(leak).
-export([main/0]).

main() ->
    [_, Port | _] = init:get_plain_arguments(),
    io:put_chars("ready\n"),
    io:get_line(""),
    Kept = fetch_price(list_to_integer(Port)),
    io:put_chars("done\n"),
    io:get_line(""),
    gen_tcp:close(Kept).

fetch_price(Port) ->
    {ok, Connection} = gen_tcp:connect({127, 0, 0, 1}, Port, [{active, false}]),
    ok = gen_tcp:send(Connection, "price?\n"),
    {ok, _} = read_answer(Connection),
    Connection.

read_answer(Connection) ->
    gen_tcp:recv(Connection, 10).
