package modern;

import java.util.concurrent.Callable;

/** A virtual thread that never parked: its whole stack is on the carrier. */
public final class VirtualWhole implements Callable<Integer> {
    @Override
    public Integer call() throws Exception {
        Virtual.run("vthread-whole", () -> Virtual.level(3, false));
        return 0;
    }
}
