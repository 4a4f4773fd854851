package com.acme;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.ref.SoftReference;
import java.lang.ref.WeakReference;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.channels.SocketChannel;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.SynchronousQueue;

/**
 * Holds sockets in ways that no chain tells, hands others from holder to holder, and loses others. Says which local port
 * is which. Arguments: the peer's port. "churn N" makes N threads allocate and rest in turn, "spin" makes one work
 * without rest, until "calm"; "collect" collects.
 */
public final class Hidden {
    /** Has a socket in a field of its own. */
    static final class Loader extends ClassLoader {
        final Socket mine;

        Loader(Socket mine) {
            this.mine = mine;
        }
    }

    static final class Box {
        final Object next;

        Box(Object next) {
            this.next = next;
        }
    }

    private static MethodHandle bound;
    private static ClassLoader loader;
    private static SoftReference<Object> soft;
    private static WeakReference<Object> weak;
    private static volatile boolean working;
    private static volatile Object sink;
    private static int port;

    private Hidden() {
    }

    private static Socket connect(String kind) throws Exception {
        Socket socket = new Socket("127.0.0.1", port);
        System.out.println("HOLDER " + kind + " " + socket.getLocalPort());
        return socket;
    }

    private static void pause(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException e) {
            return;
        }
    }

    interface Work {
        void run(CountDownLatch there) throws Exception;
    }

    /** Runs in a thread of its own, up to the point where the latch is counted down. */
    private static void apart(Work work) throws Exception {
        CountDownLatch there = new CountDownLatch(1);
        Thread thread = new Thread(() -> {
            try {
                work.run(there);
            } catch (Exception e) {
                e.printStackTrace();
            }
        });
        thread.setDaemon(true);
        thread.start();
        there.await();
    }

    /** In a map with so many entries that a scan leaves their class out, and on a stack alone. */
    private static void mapped(CountDownLatch there) throws Exception {
        Map<Integer, Object> mine = new HashMap<>();
        for (int i = 0; i < 60_000; i++) {
            mine.put(i, "");
        }
        mine.put(7, connect("mapped"));
        there.countDown();
        pause(Long.MAX_VALUE);
        sink = mine;
    }

    /** Far from what the stack has. */
    private static void deep(CountDownLatch there) throws Exception {
        Object mine = connect("deep");
        for (int i = 0; i < 200; i++) {
            mine = new Box(mine);
        }
        there.countDown();
        pause(Long.MAX_VALUE);
        sink = mine;
    }

    /** Connections go round: taken from a queue, held for a moment, and put back. */
    private static void round(CountDownLatch there) throws Exception {
        Deque<Socket> idle = new ArrayDeque<>();
        for (int i = 0; i < 3; i++) {
            idle.add(connect("round"));
        }
        there.countDown();
        while (true) {
            Socket one = idle.poll();
            pause(1);
            idle.add(one);
        }
    }

    /** Two threads give each other one socket. */
    private static void handed(CountDownLatch there) throws Exception {
        SynchronousQueue<Socket> to = new SynchronousQueue<>();
        SynchronousQueue<Socket> back = new SynchronousQueue<>();
        apart(ready -> {
            ready.countDown();
            while (true) {
                Socket mine = to.take();
                pause(1);
                back.put(mine);
            }
        });
        Socket one = connect("handed");
        there.countDown();
        while (true) {
            to.put(one);
            one = null;
            one = back.take();
            pause(1);
        }
    }

    /** Old when they are lost, so that a young collection does not close them. */
    private static void lose(CountDownLatch there) throws Exception {
        List<Object> some = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            some.add(connect("lost"));
            SocketChannel channel = SocketChannel.open(new InetSocketAddress("127.0.0.1", port));
            System.out.println("HOLDER lost-channel " + channel.socket().getLocalPort());
            some.add(channel);
        }
        System.gc();
        some.clear();
        weak = new WeakReference<>(connect("weak"));
        there.countDown();
    }

    private static void churn() {
        Thread thread = new Thread(() -> {
            List<Object> some = new ArrayList<>();
            while (working) {
                for (int i = 0; i < 500; i++) {
                    some.add(new byte[2000]);
                    some.add(new HashMap<>(Collections.singletonMap("a", new Object())));
                }
                sink = some.get(some.size() / 2);
                if (some.size() > 2_000) {
                    some = new ArrayList<>(some.subList(0, 500));
                }
                pause(200);
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    private static void spin() {
        Thread thread = new Thread(() -> {
            long n = 0;
            while (working) {
                n = n * 31 + 7;
            }
            sink = n;
        });
        thread.setDaemon(true);
        thread.start();
    }

    public static void main(String[] arguments) throws Exception {
        port = Integer.parseInt(arguments[0]);
        MethodType type = MethodType.methodType(int.class);
        bound = MethodHandles.lookup().findVirtual(Socket.class, "getPort", type).bindTo(connect("bound"));
        loader = new Loader(connect("loader"));
        soft = new SoftReference<>(connect("soft"));
        apart(Hidden::mapped);
        apart(Hidden::deep);
        if (arguments.length > 1) {
            apart(Hidden::round);
            apart(Hidden::handed);
        }
        apart(Hidden::lose);
        System.out.println("READY");
        StringBuilder line = new StringBuilder();
        for (int c = System.in.read(); c >= 0; c = System.in.read()) {
            if (c != '\n') {
                line.append((char) c);
                continue;
            }
            String[] words = line.toString().split(" ");
            line.setLength(0);
            working = !words[0].equals("calm");
            if (words[0].equals("churn")) {
                for (int i = 0; i < Integer.parseInt(words[1]); i++) {
                    churn();
                }
            } else if (words[0].equals("spin")) {
                spin();
            } else if (words[0].equals("collect")) {
                System.gc();
            }
            System.out.println("DONE " + words[0]);
        }
    }
}
