import java.io.IOException;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;

/** How a cell's program is led: it says "ready", works after a line on stdin, says "done", and ends with stdin. */
final class Led {
    /** Requests, or connections, of every program. */
    static final int COUNT = 3;

    /** One way to use the library: the peer's port and the value to set in, what must be kept out. */
    interface Mode {
        Object run(int port, long value) throws Exception;
    }

    /** What is kept is reachable until the end, so that no finalizer closes it. */
    private static Object kept;

    private Led() {
    }

    /** Runs the mode that the command line names. */
    static void lead(String[] arguments, Map<String, Mode> modes) throws Exception {
        System.out.println("ready");
        readLine();
        kept = modes.get(arguments[0]).run(Integer.parseInt(arguments[1]), Long.parseLong(arguments[2]));
        System.out.println("done");
        while (System.in.read() >= 0) {
            continue;
        }
        System.exit(kept == Led.class ? 1 : 0);
    }

    private static void readLine() throws IOException {
        int read = System.in.read();
        while (read >= 0 && read != '\n') {
            read = System.in.read();
        }
    }

    /** The call COUNT times at the same time; none may fail. */
    static void atOnce(Callable<?> call) throws Exception {
        CountDownLatch cameBack = new CountDownLatch(COUNT);
        for (int i = 0; i < COUNT; i++) {
            new Thread(() -> {
                try {
                    call.call();
                    cameBack.countDown();
                } catch (Exception e) {
                    e.printStackTrace();
                    System.exit(1);
                }
            }).start();
        }
        cameBack.await();
    }
}
