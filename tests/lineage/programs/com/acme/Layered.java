package com.acme;

import java.net.Socket;
import java.security.SecureRandom;
import java.security.cert.X509Certificate;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;

/** Holds TLS sockets: one that is a socket itself, one over another socket, and one that is lost. Argument: the port. */
public final class Layered {
    private static SSLSocket direct;
    private static SSLSocket over;

    private Layered() {
    }

    /** Trusts the peer, whoever it is. */
    private static final class Any implements X509TrustManager {
        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type) {
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type) {
        }

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }

    private static SSLSocket opened(SSLSocket socket, String kind) throws Exception {
        socket.startHandshake();
        System.out.println("HOLDER " + kind + " " + socket.getLocalPort());
        return socket;
    }

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[0]);
        SSLContext context = SSLContext.getInstance("TLSv1.2");
        context.init(null, new TrustManager[] {new Any()}, new SecureRandom());
        SSLSocketFactory factory = context.getSocketFactory();
        Thread thread = new Thread(() -> {
            try {
                direct = opened((SSLSocket) factory.createSocket("127.0.0.1", port), "direct");
                Socket plain = new Socket("127.0.0.1", port);
                over = opened((SSLSocket) factory.createSocket(plain, "localhost", port, true), "over");
                Socket another = new Socket("127.0.0.1", port);
                opened((SSLSocket) factory.createSocket(another, "localhost", port, true), "lost");
            } catch (Exception e) {
                e.printStackTrace();
            }
        });
        thread.start();
        thread.join();
        System.out.println("READY");
        while (System.in.read() >= 0) {
            continue;
        }
        System.out.println(direct + " " + over);
    }
}
