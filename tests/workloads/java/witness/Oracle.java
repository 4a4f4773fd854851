package witness;

import java.util.ArrayList;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;

/** Keeps the latest stack trace of each thread. */
public final class Oracle {
    private static final ConcurrentMap<Thread, Throwable[]> LATEST = new ConcurrentHashMap<>();
    private static final ThreadLocal<Throwable[]> MINE = ThreadLocal.withInitial(() -> {
        Throwable[] slot = new Throwable[1];
        LATEST.put(Thread.currentThread(), slot);
        return slot;
    });

    /** To be called on the line of the call that the trace is to tell. */
    public static void here() {
        MINE.get()[0] = new Throwable();
    }

    /** Prints them, one TRACE per thread and one FRAME per element. */
    public static void report() {
        StringBuilder text = new StringBuilder();
        for (Map.Entry<Thread, Throwable[]> entry : new ArrayList<>(LATEST.entrySet())) {
            text.append("TRACE ").append(entry.getKey().getName()).append('\n');
            for (StackTraceElement element : entry.getValue()[0].getStackTrace()) {
                if (!element.getMethodName().equals("here")) {
                    text.append("FRAME ").append(element.getClassName()).append('.').append(element.getMethodName())
                        .append(' ').append(element.getFileName()).append(' ').append(element.getLineNumber())
                        .append('\n');
                }
            }
        }
        System.out.print(text.append("REPORTED\n"));
        System.out.flush();
    }
}
