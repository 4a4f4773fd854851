// SPDX-License-Identifier: Apache-2.0
import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;

/** PingPong SOCKETS. For each line "DEPTH SOCKETS SECONDS": bytes there and back over loopback, ends in one thread. */
public final class PingPong {
    private static final int TURNS = 500;
    private static InputStream[] nearIn, farIn;
    private static OutputStream[] nearOut, farOut;

    private static long descend(int depth, int sockets, long forNanos) throws Exception {
        return depth > 0 ? descend(depth - 1, sockets, forNanos) + 0 * depth : loop(sockets, forNanos);
    }

    private static long loop(int sockets, long forNanos) throws Exception {
        long calls = 0, end = System.nanoTime() + forNanos;
        for (int next = 0; System.nanoTime() < end; calls += 4 * TURNS) {
            for (int i = 0; i < TURNS; i++) {
                nearOut[next].write('x');
                farIn[next].read();
                farOut[next].write('x');
                nearIn[next].read();
                next = next + 1 < sockets ? next + 1 : 0;
            }
        }
        return calls;
    }

    private static void connect(int sockets) throws Exception {
        nearIn = new InputStream[sockets];
        farIn = new InputStream[sockets];
        nearOut = new OutputStream[sockets];
        farOut = new OutputStream[sockets];
        try (ServerSocket listener = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            for (int i = 0; i < sockets; i++) {
                Socket near = new Socket(listener.getInetAddress(), listener.getLocalPort()), far = listener.accept();
                near.setTcpNoDelay(true);
                far.setTcpNoDelay(true);
                nearIn[i] = near.getInputStream();
                farIn[i] = far.getInputStream();
                nearOut[i] = near.getOutputStream();
                farOut[i] = far.getOutputStream();
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        connect(Integer.parseInt(arguments[0]));
        System.out.println("{\"connected\": true}");
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
        for (String order; (order = orders.readLine()) != null;) {
            String[] words = order.split(" ");
            long cpu = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
            long nanos = (long) (Double.parseDouble(words[2]) * 1e9);
            long calls = descend(Integer.parseInt(words[0]), Integer.parseInt(words[1]), nanos);
            cpu = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() - cpu;
            System.out.println("{\"calls_per_cpu_s\": " + calls * 1e9 / cpu + "}");
        }
    }
}
