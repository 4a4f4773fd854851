/** What the programs that serve have in common. */
final class Served {
    private Served() {
    }

    /** A handler that does not come back. */
    static void busy() {
        try {
            Thread.sleep(Long.MAX_VALUE);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
