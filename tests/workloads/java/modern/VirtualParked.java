package modern;

import java.util.concurrent.Callable;

/** A virtual thread that parked deep down and then blocks its carrier: its outer frames stay in the heap. */
public final class VirtualParked implements Callable<Integer> {
    @Override
    public Integer call() throws Exception {
        Virtual.run("vthread-parked", () -> Virtual.level(30, true));
        return 0;
    }
}
