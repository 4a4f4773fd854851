// SPDX-License-Identifier: Apache-2.0
// Keeps a connection whose peer hangs up, when led to (tests/advice/led.py). Its arguments: any word, the port.
using System;
using System.Collections.Generic;
using System.Net.Sockets;
using System.Text;

static class Leak
{
    static readonly List<Socket> kept = new List<Socket>();

    static int ReadAnswer(Socket connection)
    {
        return connection.Receive(new byte[10]);
    }

    static void FetchPrice(int port)
    {
        var connection = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        connection.Connect("127.0.0.1", port);
        connection.Send(Encoding.ASCII.GetBytes("price?\n"));
        ReadAnswer(connection);
        kept.Add(connection);
    }

    static void Main(string[] words)
    {
        Console.WriteLine("ready");
        Console.ReadLine();
        FetchPrice(int.Parse(words[1]));
        Console.WriteLine("done");
        Console.ReadLine();
    }
}
