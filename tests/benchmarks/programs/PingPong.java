// SPDX-License-Identifier: Apache-2.0
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;

/** PingPong DEPTH: bytes to and fro over loopback at the given depth; for each line on stdin one second, timed. */
public final class PingPong {
    private static Socket[] ends = new Socket[2];
    private static InputStream[] in = new InputStream[2];
    private static OutputStream[] out = new OutputStream[2];

    private static long descend(int depth, long forNanos) throws Exception {
        return depth > 0 ? descend(depth - 1, forNanos) + 0 * depth : loop(forNanos);
    }

    private static long loop(long forNanos) throws Exception {
        long calls = 0, end = System.nanoTime() + forNanos;
        while (System.nanoTime() < end) {
            for (int i = 0; i < 500; i++) {
                out[0].write('x');
                in[1].read();
                out[1].write('x');
                in[0].read();
            }
            calls += 2000;
        }
        return calls;
    }

    public static void main(String[] arguments) throws Exception {
        int depth = Integer.parseInt(arguments[0]);
        try (ServerSocket listener = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            ends[0] = new Socket(listener.getInetAddress(), listener.getLocalPort());
            ends[1] = listener.accept();
        }
        for (int i = 0; i < 2; i++) {
            ends[i].setTcpNoDelay(true);
            in[i] = ends[i].getInputStream();
            out[i] = ends[i].getOutputStream();
        }
        for (int i = 0; i < 3; i++) {
            descend(depth, 1_000_000_000L);
        }
        System.out.println("{\"warm\": true}");
        while (System.in.read() >= 0) {
            long start = System.nanoTime(), calls = descend(depth, 1_000_000_000L);
            System.out.printf("{\"calls_per_s\": %d}%n", calls * 1_000_000_000L / (System.nanoTime() - start));
        }
    }
}
