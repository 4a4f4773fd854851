// SPDX-License-Identifier: Apache-2.0
package com.acme;

import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.Socket;
import java.net.URL;

/**
 * Shows which end is in TIME_WAIT: WhoWaits HOST PORT client-closes|server-closes|client-resets|exits|keep-alive. It makes one
 * request. The last argument says how the connection ends.
 */
public final class WhoWaits {
    private WhoWaits() {}

    private static Socket request(String host, int port, String connection) throws IOException {
        Socket socket = new Socket(host, port);
        String head = "GET /order HTTP/1.1\r\nHost: x\r\nConnection: " + connection + "\r\n\r\n";
        socket.getOutputStream().write(head.getBytes("US-ASCII"));
        socket.getInputStream().read(new byte[4096]);
        Conversation.say("\"event\": \"socket\", \"role\": \"program\", \"local\": \"127.0.0.1:" + socket.getLocalPort()
                + "\", \"remote\": \"127.0.0.1:" + port + "\"");
        return socket;
    }

    private static void end(String host, int port, String how) throws IOException, InterruptedException {
        Socket socket = request(host, port, how.equals("server-closes") ? "close" : "keep-alive");
        switch (how) {
            case "client-closes":
                socket.close();
                break;
            case "client-resets":
                socket.setSoLinger(true, 0);
                socket.close();
                break;
            case "server-closes":
                while (socket.getInputStream().read() >= 0) {}
                socket.close();
                break;
            default:
                Conversation.await("exit"); // exits with the socket open
                Runtime.getRuntime().halt(0);
        }
    }

    private static void keepAlive(String host, int port) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) new URL("http://" + host + ":" + port + "/order").openConnection();
        try (InputStream in = connection.getInputStream()) {
            while (in.read() >= 0) {}
        }
    }

    public static void main(String[] arguments) throws Exception {
        Conversation.begin();
        Conversation.await("request");
        if (arguments[2].equals("keep-alive")) {
            keepAlive(arguments[0], Integer.parseInt(arguments[1]));
        } else {
            end(arguments[0], Integer.parseInt(arguments[1]), arguments[2]);
        }
        Conversation.await("end");
    }
}
