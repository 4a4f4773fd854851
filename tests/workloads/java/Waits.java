import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;

/** A thread for each way in which a Java program waits. They are named by it; each waits below two methods of its own. */
public final class Waits {
    static final Object LOCK = new Object();
    static final Object CONDITION = new Object();
    static ServerSocket server;

    public static void main(String[] args) throws Exception {
        server = new ServerSocket(0, 50, InetAddress.getByName("127.0.0.1"));
        Thread holder = start("hold", Waits::hold);
        while (holder.getState() != Thread.State.TIMED_WAITING) {
            Thread.sleep(1);
        }
        start("monitor", Waits::monitor);
        start("wait", Waits::await);
        start("park", Waits::park);
        start("latch", Waits::latch);
        start("read", Waits::read);
        start("timed-read", Waits::timedRead);
        start("write", Waits::write);
        start("channel-write", Waits::channelWrite);
        start("select", Waits::select);
        start("accept", () -> new ServerSocket(0).accept());
        System.out.println("STARTED");
        while (System.in.read() >= 0) {
        }
    }

    static Thread start(final String name, final Callable<Object> body) {
        Thread thread = new Thread(() -> outer(body), name);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    static Object outer(Callable<Object> body) {
        try {
            return inner(body);
        } catch (Exception failure) {
            System.out.println("FAILED " + failure);
            return null;
        }
    }

    static Object inner(Callable<Object> body) throws Exception {
        return body.call();
    }

    static Object hold() throws Exception {
        synchronized (LOCK) {
            Thread.sleep(1_000_000);
        }
        return null;
    }

    static Object monitor() {
        synchronized (LOCK) {
            return null;
        }
    }

    static Object await() throws Exception {
        synchronized (CONDITION) {
            CONDITION.wait();
        }
        return null;
    }

    static Object park() throws Exception {
        return new ArrayBlockingQueue<Object>(1).take();
    }

    static Object latch() throws Exception {
        new CountDownLatch(1).await();
        return null;
    }

    /** The connections stay in the accept queue: nobody answers, and nobody reads. */
    static Socket connect() throws Exception {
        return new Socket(server.getInetAddress(), server.getLocalPort());
    }

    static SocketChannel channel() throws Exception {
        return SocketChannel.open(server.getLocalSocketAddress());
    }

    static Object read() throws Exception {
        return connect().getInputStream().read();
    }

    static Object timedRead() throws Exception {
        Socket socket = connect();
        socket.setSoTimeout(1_000_000);
        return socket.getInputStream().read();
    }

    static Object write() throws Exception {
        connect().getOutputStream().write(new byte[32 << 20]);
        return null;
    }

    static Object channelWrite() throws Exception {
        return channel().write(ByteBuffer.allocateDirect(32 << 20));
    }

    static Object select() throws Exception {
        SocketChannel channel = channel();
        Selector selector = Selector.open();
        channel.configureBlocking(false);
        channel.register(selector, SelectionKey.OP_READ);
        return selector.select();
    }
}
