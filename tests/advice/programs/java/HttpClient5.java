import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.hc.client5.http.classic.methods.HttpGet;
import org.apache.hc.client5.http.impl.classic.CloseableHttpClient;
import org.apache.hc.client5.http.impl.classic.CloseableHttpResponse;
import org.apache.hc.client5.http.impl.classic.HttpClientBuilder;
import org.apache.hc.core5.http.ClassicHttpResponse;
import org.apache.hc.core5.http.io.entity.EntityUtils;
import org.apache.hc.core5.util.TimeValue;

/** Apache HttpClient 5: a thread of its own evicts idle connections if it is told to. */
final class HttpClient5 {
    private HttpClient5() {
    }

    private static CloseableHttpClient evicting(long milliseconds) {
        return HttpClientBuilder.create().evictIdleConnections(TimeValue.ofMilliseconds(milliseconds)).build();
    }

    private static HttpGet get(int port) {
        return new HttpGet("http://127.0.0.1:" + port + "/200/12");
    }

    private static Object idle(CloseableHttpClient client, int port) throws Exception {
        Led.atOnce(() -> client.execute(get(port), answer -> EntityUtils.toString(answer.getEntity())));
        return client;
    }

    @SuppressWarnings("deprecation")
    private static ClassicHttpResponse ask(CloseableHttpClient client, int port) throws Exception {
        return client.execute(get(port));
    }

    private static Object kept(CloseableHttpClient client, int port) throws Exception {
        List<Object> responses = new ArrayList<>(List.of(client));
        for (int i = 0; i < Led.COUNT; i++) {
            responses.add(ask(client, port));
        }
        return responses;
    }

    private static Object released(CloseableHttpClient client, int port) throws Exception {
        for (int i = 0; i < Led.COUNT; i++) {
            try (CloseableHttpResponse response = (CloseableHttpResponse) ask(client, port)) {
                EntityUtils.consume(response.getEntity());
            }
        }
        return client;
    }

    public static void main(String[] arguments) throws Exception {
        Led.lead(arguments, Map.of(
            "idle", (port, value) -> idle(HttpClientBuilder.create().build(), port),
            "evicting", (port, value) -> idle(evicting(value), port),
            "kept", (port, value) -> kept(evicting(value), port),
            "released", (port, value) -> released(evicting(value), port)));
    }
}
