import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.URL;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** HttpURLConnection: its cache keeps idle connections for 5 to 10 s, or none at all if a property says so. */
final class UrlConnection {
    private UrlConnection() {
    }

    private static HttpURLConnection ask(int port, int status) throws IOException {
        URL url = new URL("http://127.0.0.1:" + port + "/" + status + "/12");
        HttpURLConnection connection = (HttpURLConnection) url.openConnection();
        connection.getResponseCode();
        return connection;
    }

    private static Object idle(int port) throws Exception {
        Led.atOnce(() -> ask(port, 200).getInputStream().readAllBytes());
        return null;
    }

    private static Object single(int port) throws Exception {
        System.setProperty("http.keepAlive", "false");
        return idle(port);
    }

    private static Object kept(int port) throws Exception {
        List<Object> connections = new ArrayList<>();
        for (int i = 0; i < Led.COUNT; i++) {
            connections.add(ask(port, 404));
        }
        return connections;
    }

    private static Object released(int port) throws Exception {
        System.setProperty("http.keepAlive", "false");
        for (int i = 0; i < Led.COUNT; i++) {
            ask(port, 404).getErrorStream().close();
        }
        return null;
    }

    public static void main(String[] arguments) throws Exception {
        Led.lead(arguments, Map.of(
            "idle", (port, value) -> idle(port),
            "single", (port, value) -> single(port),
            "kept", (port, value) -> kept(port),
            "released", (port, value) -> released(port)));
    }
}
