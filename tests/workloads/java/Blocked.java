import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URL;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.security.cert.X509Certificate;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.function.IntSupplier;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;
import witness.Oracle;

/**
 * Threads that end up blocked in a read, each by another way, and what Java itself says of their stacks.
 *
 * Arguments: plain port, TLS port, HTTP port, then scenarios. The plain server sends warm-up bytes and then falls
 * silent, so every scenario reads byte by byte through compiled code until it blocks. Each read is preceded, on the same
 * line, by Oracle.here(), which keeps the thread's stack trace. On a line "report" of standard input the kept traces are
 * printed; "collect" asks for garbage collections, which also free code that was replaced; "deopt" loads a class that
 * invalidates code whose frames are on the stack.
 */
public final class Blocked {
    static int plainPort;
    static int tlsPort;
    static int httpPort;

    public static void main(String[] args) throws Exception {
        plainPort = Integer.parseInt(args[0]);
        tlsPort = Integer.parseInt(args[1]);
        httpPort = Integer.parseInt(args[2]);
        for (int i = 3; i < args.length; i++) {
            start(args[i]);
        }
        System.out.println("STARTED");
        java.io.BufferedReader commands = new java.io.BufferedReader(new java.io.InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            if (line.equals("report")) {
                Oracle.report();
            } else if (line.equals("collect")) {
                for (int i = 0; i < 4; i++) {
                    System.gc();
                }
                System.out.println("COLLECTED");
            } else if (line.equals("deopt")) {
                Class.forName("Blocked$Loud").getDeclaredConstructor().newInstance();
                System.out.println("LOADED");
            }
        }
    }

    static void start(final String scenario) throws Exception {
        Callable<Integer> body = scenario(scenario);
        Thread thread = new Thread(() -> {
            try {
                body.call();
                System.out.println("ENDED " + scenario);
            } catch (Throwable failure) {
                System.out.println("FAILED " + scenario + " " + failure);
                failure.printStackTrace(System.out);
            }
        }, scenario);
        thread.setDaemon(true);
        thread.start();
    }

    static Callable<Integer> scenario(String name) {
        switch (name) {
            case "socket": return Blocked::socket;
            case "channel": return Blocked::channel;
            case "selector": return Blocked::selector;
            case "tls": return Blocked::tls;
            case "urlconnection": return Blocked::urlConnection;
            case "lambda": return Blocked::lambda;
            case "recursion": return Blocked::recursion;
            case "exception": return Blocked::exception;
            case "deopt": return Blocked::deopt;
            case "reflection": return Blocked::reflection;
            case "interface": return Blocked::throughInterface;
            case "synchronized": return Blocked::locked;
            case "httpclient": return modern("Client");
            case "vthread-whole": return modern("VirtualWhole");
            case "vthread-parked": return modern("VirtualParked");
            default: throw new IllegalArgumentException(name);
        }
    }

    /** Scenarios that need a newer JDK are classes of their own. */
    @SuppressWarnings("unchecked")
    static Callable<Integer> modern(String name) {
        try {
            return (Callable<Integer>) Class.forName("modern." + name).getDeclaredConstructor().newInstance();
        } catch (ReflectiveOperationException failure) {
            throw new IllegalStateException(failure);
        }
    }

    static Socket connect() throws Exception {
        Socket socket = new Socket("127.0.0.1", plainPort);
        socket.setTcpNoDelay(true);
        return socket;
    }

    // --- java.net.Socket, small methods that get inlined into one another

    static int socket() throws Exception {
        InputStream in = connect().getInputStream();
        int sum = 0;
        while (true) {
            sum += outer(in, sum);
        }
    }

    static int outer(InputStream in, int value) throws Exception {
        int before = value * 31;
        return middle(in, before) + 1;
    }

    static int middle(InputStream in, int value) throws Exception {
        if (value == Integer.MIN_VALUE) {
            throw new IllegalStateException();
        }
        return leaf(in) ^ value;
    }

    static int leaf(InputStream in) throws Exception {
        Oracle.here(); return in.read();
    }

    // --- SocketChannel

    static int channel() throws Exception {
        SocketChannel channel = SocketChannel.open(new InetSocketAddress("127.0.0.1", plainPort));
        ByteBuffer one = ByteBuffer.allocateDirect(1);
        while (true) {
            readChannel(channel, one);
        }
    }

    static int readChannel(SocketChannel channel, ByteBuffer buffer) throws Exception {
        buffer.clear();
        Oracle.here(); return channel.read(buffer);
    }

    static int selector() throws Exception {
        SocketChannel channel = SocketChannel.open(new InetSocketAddress("127.0.0.1", plainPort));
        channel.configureBlocking(false);
        Selector selector = Selector.open();
        channel.register(selector, SelectionKey.OP_READ);
        ByteBuffer some = ByteBuffer.allocate(8);
        while (true) {
            await(selector);
            some.clear();
            channel.read(some);
        }
    }

    static void await(Selector selector) throws Exception {
        Oracle.here(); selector.select();
        selector.selectedKeys().clear();
    }

    // --- TLS and HTTP

    static int tls() throws Exception {
        TrustManager all = new X509TrustManager() {
            public void checkClientTrusted(X509Certificate[] chain, String type) {
            }

            public void checkServerTrusted(X509Certificate[] chain, String type) {
            }

            public X509Certificate[] getAcceptedIssuers() {
                return new X509Certificate[0];
            }
        };
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, new TrustManager[] {all}, null);
        Socket socket = context.getSocketFactory().createSocket("127.0.0.1", tlsPort);
        OutputStream out = socket.getOutputStream();
        out.write('x');
        out.flush();
        InputStream in = socket.getInputStream();
        int sum = 0;
        while (true) {
            sum += outer(in, sum);
        }
    }

    static int urlConnection() throws Exception {
        int sum = 0;
        for (int i = 0; true; i++) {
            sum += fetch(new URL("http://127.0.0.1:" + httpPort + "/" + i));
        }
    }

    static int fetch(URL url) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) url.openConnection();
        Oracle.here(); InputStream in = connection.getInputStream();
        int sum = 0;
        for (int b = in.read(); b >= 0; b = in.read()) {
            sum += b;
        }
        in.close();
        return sum;
    }

    // --- shapes of stacks

    static int lambda() throws Exception {
        InputStream in = connect().getInputStream();
        List<InputStream> streams = Collections.singletonList(in);
        int sum = 0;
        while (true) {
            sum += streams.stream().mapToInt(stream -> quietly(() -> leaf(stream))).sum();
        }
    }

    static int quietly(Callable<Integer> body) {
        try {
            return body.call();
        } catch (Exception failure) {
            throw new IllegalStateException(failure);
        }
    }

    static int recursion() throws Exception {
        InputStream in = connect().getInputStream();
        int sum = 0;
        while (true) {
            sum += down(in, 120);
        }
    }

    static int down(InputStream in, int depth) throws Exception {
        if (depth == 0) {
            return leaf(in);
        }
        return depth % 3 == 0
            ? down(in, depth - 1) + 1
            : down(in, depth - 1) * 2;
    }

    static int exception() throws Exception {
        InputStream in = connect().getInputStream();
        int sum = 0;
        while (true) {
            sum += recover(in, sum);
        }
    }

    static int recover(InputStream in, int value) throws Exception {
        try {
            fail(value);
            return 0;
        } catch (IllegalStateException expected) {
            Oracle.here(); return in.read();
        } finally {
            value++;
        }
    }

    static void fail(int value) {
        throw new IllegalStateException("value " + value);
    }

    static class Quiet {
        int volume() {
            return 1;
        }
    }

    /** Loaded only on demand: overrides what compiled code took for not overridden. */
    static class Loud extends Quiet {
        @Override
        int volume() {
            return 11;
        }
    }

    static int deopt() throws Exception {
        InputStream in = connect().getInputStream();
        Quiet quiet = new Quiet();
        int sum = 0;
        while (true) {
            sum += listen(quiet, in);
        }
    }

    static int listen(Quiet quiet, InputStream in) throws Exception {
        int before = quiet.volume();
        int read = outer(in, before);
        return read + quiet.volume();
    }

    public static int reflected(InputStream in) throws Exception {
        return leaf(in);
    }

    static int reflection() throws Exception {
        InputStream in = connect().getInputStream();
        Method method = Blocked.class.getMethod("reflected", InputStream.class);
        int sum = 0;
        while (true) {
            sum += (Integer) method.invoke(null, in);
        }
    }

    interface Reader {
        int next(InputStream in) throws Exception;
    }

    static int throughInterface() throws Exception {
        InputStream in = connect().getInputStream();
        InvocationHandler handler = (proxy, method, arguments) -> leaf((InputStream) arguments[0]);
        Reader dynamic = (Reader) Proxy.newProxyInstance(Blocked.class.getClassLoader(), new Class<?>[] {Reader.class}, handler);
        Reader[] readers = {Blocked::leaf, stream -> leaf(stream) + 1, new Reader() {
            @Override
            public int next(InputStream stream) throws Exception {
                return leaf(stream) + 2;
            }
        }, dynamic};
        int sum = 0;
        for (int i = 0; true; i++) {
            sum += readers[i % readers.length].next(in);
        }
    }

    static int locked() throws Exception {
        InputStream in = connect().getInputStream();
        Object lock = new Object();
        IntSupplier supplier = () -> quietly(() -> holding(lock, in));
        int sum = 0;
        while (true) {
            sum += supplier.getAsInt();
        }
    }

    static synchronized int holding(Object lock, InputStream in) throws Exception {
        synchronized (lock) {
            Oracle.here(); return in.read();
        }
    }
}
