package com.acme;

import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URL;
import java.nio.channels.AsynchronousSocketChannel;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;

/**
 * Holds sockets in many ways and says which local port is held in which way. Arguments: the peer's port, its HTTP port.
 * "churn N" on stdin makes N threads allocate until "calm"; "collect" collects; anything else is answered as it is.
 */
public final class Holders {
    /** Holds sessions by their numbers. */
    static final class Registry {
        static final class Session {
            final Socket sock;

            Session(Socket sock) {
                this.sock = sock;
            }
        }

        final Map<Integer, Session> sessions = new HashMap<>();
        static final Registry INSTANCE = new Registry();
    }

    static final class Cache {
        /** Looks like a reference: the first address of many heaps. */
        static final int TRAP = 0xe0000000;
        static Object[] slots = new Object[40_000];
        static final LinkedList<Registry.Session> queue = new LinkedList<>();
        static List<InputStream> streams = new ArrayList<>();
    }

    static final class Channels {
        static final Map<String, SocketChannel> open = Collections.synchronizedMap(new HashMap<>());
        static AsynchronousSocketChannel completing;
        static final List<SocketChannel> closed = new ArrayList<>();
    }

    static final class Worker extends Thread {
        private Registry.Session mine;

        Worker(Socket socket) {
            super("order-worker");
            mine = new Registry.Session(socket);
            setDaemon(true);
        }

        @Override
        public void run() {
            pause();
        }
    }

    private static volatile boolean churning;
    private static volatile Object sink;
    private static int port;

    private Holders() {
    }

    private static Socket connect() throws Exception {
        return new Socket("127.0.0.1", port);
    }

    private static void say(String kind, int localPort) {
        System.out.println("HOLDER " + kind + " " + localPort);
    }

    private static void pause() {
        try {
            Thread.sleep(Long.MAX_VALUE);
        } catch (InterruptedException e) {
            return;
        }
    }

    private static void plain() throws Exception {
        for (int i = 0; i < 3; i++) {
            Socket socket = connect();
            Registry.INSTANCE.sessions.put(i, new Registry.Session(socket));
            say("map", socket.getLocalPort());
        }
        Socket socket = connect();
        Cache.slots[Cache.slots.length - 7] = new Registry.Session(socket);
        say("array", socket.getLocalPort());
        for (int i = 0; i < 1000; i++) {
            Cache.queue.add(null);
        }
        socket = connect();
        Cache.queue.add(500, new Registry.Session(socket));
        say("list", socket.getLocalPort());
        socket = connect();
        new Worker(socket).start();
        say("thread", socket.getLocalPort());
    }

    /** Closes channels whose numbers the next sockets get; the channels stay reachable. */
    private static void channels() throws Exception {
        for (int i = 0; i < 3; i++) {
            SocketChannel channel = SocketChannel.open(new InetSocketAddress("127.0.0.1", port));
            Channels.closed.add(channel);
        }
        for (SocketChannel channel : Channels.closed) {
            channel.close();
        }
        for (int i = 0; i < 3; i++) {
            SocketChannel channel = SocketChannel.open(new InetSocketAddress("127.0.0.1", port));
            Channels.open.put("orders-" + i, channel);
            say("channel", channel.socket().getLocalPort());
        }
        Channels.completing = AsynchronousSocketChannel.open();
        Channels.completing.connect(new InetSocketAddress("127.0.0.1", port)).get();
        say("completing", ((InetSocketAddress) Channels.completing.getLocalAddress()).getPort());
        Selector selector = Selector.open();
        SocketChannel registered = SocketChannel.open(new InetSocketAddress("127.0.0.1", port));
        registered.configureBlocking(false);
        registered.register(selector, SelectionKey.OP_READ);
        say("selector", registered.socket().getLocalPort());
        Thread loop = new Thread(() -> {
            while (true) {
                try {
                    selector.select();
                    selector.selectedKeys().clear();
                    for (SelectionKey key : selector.keys()) {
                        key.interestOps(0);
                    }
                } catch (Exception e) {
                    return;
                }
            }
        }, "event-loop");
        loop.setDaemon(true);
        loop.start();
    }

    private static void onStack() throws Exception {
        CountDownLatch there = new CountDownLatch(1);
        Thread thread = new Thread(() -> {
            try {
                Socket socket = connect();
                say("stack", socket.getLocalPort());
                there.countDown();
                socket.getInputStream().read();
                pause();
                System.out.println(socket);
            } catch (Exception e) {
                e.printStackTrace();
            }
        }, "stack-holder");
        thread.setDaemon(true);
        thread.start();
        there.await();
    }

    /** In a local variable of a virtual thread that waits for the peer. Reflection: this is compiled for Java 8. */
    private static void parked() throws Exception {
        Object builder;
        try {
            builder = Thread.class.getMethod("ofVirtual").invoke(null);
        } catch (NoSuchMethodException e) {
            return;
        }
        CountDownLatch there = new CountDownLatch(1);
        Class<?> type = Class.forName("java.lang.Thread$Builder");
        Runnable work = () -> {
            try {
                Socket socket = connect();
                say("parked", socket.getLocalPort());
                there.countDown();
                socket.getInputStream().read();
                System.out.println(socket);
            } catch (Exception e) {
                e.printStackTrace();
            }
        };
        builder = type.getMethod("name", String.class).invoke(builder, "parked-holder");
        type.getMethod("start", Runnable.class).invoke(builder, work);
        there.await();
    }

    private static void lose() throws Exception {
        Socket socket = connect();
        say("garbage", socket.getLocalPort());
    }

    private static void lost() throws Exception {
        Thread thread = new Thread(() -> {
            try {
                lose();
            } catch (Exception e) {
                e.printStackTrace();
            }
        });
        thread.start();
        thread.join();
    }

    private static void http(int httpPort) throws Exception {
        HttpURLConnection kept = (HttpURLConnection) new URL("http://127.0.0.1:" + httpPort + "/kept").openConnection();
        Cache.streams.add(kept.getInputStream());
        System.out.println("HTTP url-kept");
        HttpURLConnection idle = (HttpURLConnection) new URL("http://127.0.0.1:" + httpPort + "/idle").openConnection();
        InputStream stream = idle.getInputStream();
        while (stream.read() >= 0) {
            continue;
        }
        stream.close();
        System.out.println("HTTP url-idle");
    }

    private static void churn(int threads) {
        churning = true;
        for (int i = 0; i < threads; i++) {
            Thread thread = new Thread(() -> {
                List<Object> some = new ArrayList<>();
                while (churning) {
                    some.add(new byte[2000]);
                    some.add(new HashMap<>(Collections.singletonMap("a", new Object())));
                    sink = some.get(some.size() / 2);
                    if (some.size() > 20_000) {
                        some = new ArrayList<>(some.subList(0, 500));
                    }
                }
            });
            thread.setDaemon(true);
            thread.start();
        }
    }

    public static void main(String[] arguments) throws Exception {
        port = Integer.parseInt(arguments[0]);
        plain();
        channels();
        onStack();
        parked();
        lost();
        if (arguments.length > 1) {
            http(Integer.parseInt(arguments[1]));
        }
        System.out.println("READY");
        StringBuilder line = new StringBuilder();
        for (int c = System.in.read(); c >= 0; c = System.in.read()) {
            if (c != '\n') {
                line.append((char) c);
                continue;
            }
            String[] words = line.toString().split(" ");
            line.setLength(0);
            if (words[0].equals("churn")) {
                churn(Integer.parseInt(words[1]));
            } else if (words[0].equals("calm")) {
                churning = false;
            } else if (words[0].equals("collect")) {
                System.gc();
            }
            System.out.println("DONE " + words[0]);
        }
    }
}
