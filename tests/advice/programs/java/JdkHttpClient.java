import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** The JDK's HttpClient: it closes an idle connection when the peer hangs up; an unread body keeps its connection. */
final class JdkHttpClient {
    private static final String CUT_SHORT = "/200/600000/100000";

    private JdkHttpClient() {
    }

    private static HttpRequest get(int port, String path) {
        return HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + path)).build();
    }

    private static Object idle(int port) throws Exception {
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        Led.atOnce(() -> client.send(get(port, "/200/12"), BodyHandlers.ofString()));
        return client;
    }

    private static Object kept(int port) throws Exception {
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        List<Object> responses = new ArrayList<>(List.of(client));
        for (int i = 0; i < Led.COUNT; i++) {
            responses.add(client.send(get(port, CUT_SHORT), BodyHandlers.ofInputStream()));
        }
        return responses;
    }

    private static Object released(int port) throws Exception {
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        for (int i = 0; i < Led.COUNT; i++) {
            HttpResponse<InputStream> response = client.send(get(port, CUT_SHORT), BodyHandlers.ofInputStream());
            response.body().close();
        }
        return client;
    }

    public static void main(String[] arguments) throws Exception {
        Led.lead(arguments, Map.of(
            "idle", (port, value) -> idle(port),
            "kept", (port, value) -> kept(port),
            "released", (port, value) -> released(port)));
    }
}
