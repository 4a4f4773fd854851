import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.eclipse.jetty.client.HttpClient;
import org.eclipse.jetty.client.api.Response;
import org.eclipse.jetty.client.util.InputStreamResponseListener;

/** Jetty's client: answers that are read to their ends, and answers that are not. */
final class JettyClient {
    private JettyClient() {
    }

    private static HttpClient client() throws Exception {
        HttpClient client = new HttpClient();
        client.setIdleTimeout(0);
        client.setMaxConnectionsPerDestination(Led.COUNT);
        client.start();
        return client;
    }

    private static Object idle(HttpClient client, int port) throws Exception {
        Led.atOnce(() -> client.GET("http://127.0.0.1:" + port + "/200/5"));
        return client;
    }

    private static Object kept(HttpClient client, int port) throws Exception {
        List<Object> kept = new ArrayList<>(List.of(client));
        for (int i = 0; i < Led.COUNT; i++) {
            InputStreamResponseListener listener = new InputStreamResponseListener();
            client.newRequest("http://127.0.0.1:" + port + "/200/5").send(listener);
            Response response = listener.get(10, java.util.concurrent.TimeUnit.SECONDS);
            kept.add(response);
            kept.add(listener);
        }
        return kept;
    }

    public static void main(String[] arguments) throws Exception {
        Led.lead(arguments, Map.of(
            "idle", (port, value) -> idle(client(), port),
            "kept", (port, value) -> kept(client(), port)));
    }
}
