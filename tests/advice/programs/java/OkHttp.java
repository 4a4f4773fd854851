import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import okhttp3.ConnectionPool;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;

/** OkHttp: its ConnectionPool closes what lies idle for longer than keepAliveDuration (5 minutes by default). */
final class OkHttp {
    private OkHttp() {
    }

    private static Response ask(OkHttpClient client, int port) throws Exception {
        Request request = new Request.Builder().url("http://127.0.0.1:" + port + "/200/12").build();
        return client.newCall(request).execute();
    }

    private static Object idle(OkHttpClient client, int port) throws Exception {
        Led.atOnce(() -> ask(client, port).body().string());
        return client;
    }

    private static OkHttpClient limited(long milliseconds) {
        ConnectionPool pool = new ConnectionPool(5, milliseconds, TimeUnit.MILLISECONDS);
        return new OkHttpClient.Builder().connectionPool(pool).build();
    }

    private static Object kept(OkHttpClient client, int port) throws Exception {
        List<Object> responses = new ArrayList<>(List.of(client));
        for (int i = 0; i < Led.COUNT; i++) {
            responses.add(ask(client, port));
        }
        return responses;
    }

    private static Object released(OkHttpClient client, int port) throws Exception {
        for (int i = 0; i < Led.COUNT; i++) {
            try (Response response = ask(client, port)) {
                response.code();
            }
        }
        return client;
    }

    public static void main(String[] arguments) throws Exception {
        Led.lead(arguments, Map.of(
            "idle", (port, value) -> idle(new OkHttpClient(), port),
            "limited", (port, value) -> idle(limited(value), port),
            "kept", (port, value) -> kept(limited(value), port),
            "released", (port, value) -> released(limited(value), port)));
    }
}
