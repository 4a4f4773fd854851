package modern;

import java.io.InputStream;
import java.net.Socket;
import witness.Oracle;

/** What the scenarios of virtual threads share. Virtual threads are reached by reflection: the host's javac is older. */
final class Virtual {
    static volatile InputStream in;

    static void run(String name, Runnable body) throws Exception {
        Object builder = Thread.class.getMethod("ofVirtual").invoke(null);
        Class<?> type = Class.forName("java.lang.Thread$Builder");
        builder = type.getMethod("name", String.class).invoke(builder, name);
        Thread thread = (Thread) type.getMethod("start", Runnable.class).invoke(builder, body);
        thread.join();
    }

    static void level(int depth, boolean park) {
        if (depth > 0) {
            level(depth - 1, park);
            return;
        }
        if (park) {
            try {
                Thread.sleep(50);
            } catch (InterruptedException stop) {
                return;
            }
        }
        Pinned.touch();
    }

    /** Blocks in its static initializer: the JVM's native frame above keeps the virtual thread on its carrier. */
    static final class Pinned {
        static {
            try {
                in = new Socket("127.0.0.1", Integer.getInteger("silent.port")).getInputStream();
                Oracle.here(); in.read();
            } catch (Exception failure) {
                failure.printStackTrace(System.out);
            }
        }

        static void touch() {
        }
    }
}
