import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.http.client.methods.CloseableHttpResponse;
import org.apache.http.client.methods.HttpGet;
import org.apache.http.impl.client.CloseableHttpClient;
import org.apache.http.impl.client.HttpClientBuilder;
import org.apache.http.util.EntityUtils;

/** Apache HttpClient 4.4 and later: a thread of its own evicts idle connections if it is told to. */
final class HttpClient4 {
    private HttpClient4() {
    }

    private static HttpClientBuilder builder() {
        return HttpClientBuilder.create().setMaxConnPerRoute(Led.COUNT);
    }

    private static CloseableHttpClient evicting(long milliseconds) {
        return builder().evictIdleConnections(milliseconds, TimeUnit.MILLISECONDS).build();
    }

    private static HttpGet get(int port) {
        return new HttpGet("http://127.0.0.1:" + port + "/200/12");
    }

    private static Object idle(CloseableHttpClient client, int port) throws Exception {
        Led.atOnce(() -> client.execute(get(port), answer -> EntityUtils.toString(answer.getEntity())));
        return client;
    }

    private static Object kept(CloseableHttpClient client, int port) throws Exception {
        List<Object> responses = new ArrayList<>(List.of(client));
        for (int i = 0; i < Led.COUNT; i++) {
            responses.add(client.execute(get(port)));
        }
        return responses;
    }

    private static Object released(CloseableHttpClient client, int port) throws Exception {
        for (int i = 0; i < Led.COUNT; i++) {
            try (CloseableHttpResponse response = client.execute(get(port))) {
                EntityUtils.consume(response.getEntity());
            }
        }
        return client;
    }

    public static void main(String[] arguments) throws Exception {
        Led.lead(arguments, Map.of(
            "idle", (port, value) -> idle(builder().build(), port),
            "evicting", (port, value) -> idle(evicting(value), port),
            "kept", (port, value) -> kept(evicting(value), port),
            "released", (port, value) -> released(evicting(value), port)));
    }
}
