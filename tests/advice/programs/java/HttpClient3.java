import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.commons.httpclient.HttpClient;
import org.apache.commons.httpclient.MultiThreadedHttpConnectionManager;
import org.apache.commons.httpclient.methods.GetMethod;
import org.apache.commons.httpclient.util.IdleConnectionTimeoutThread;

/** Commons HttpClient 3: idle connections stay until an IdleConnectionTimeoutThread closes them. */
final class HttpClient3 {
    private HttpClient3() {
    }

    private static HttpClient client() {
        MultiThreadedHttpConnectionManager manager = new MultiThreadedHttpConnectionManager();
        manager.getParams().setDefaultMaxConnectionsPerHost(Led.COUNT);
        return new HttpClient(manager);
    }

    private static HttpClient swept(long milliseconds) {
        HttpClient client = client();
        IdleConnectionTimeoutThread sweeper = new IdleConnectionTimeoutThread();
        sweeper.setConnectionTimeout(milliseconds);
        sweeper.addConnectionManager(client.getHttpConnectionManager());
        sweeper.start();
        return client;
    }

    private static GetMethod ask(HttpClient client, int port) throws Exception {
        GetMethod method = new GetMethod("http://127.0.0.1:" + port + "/200/12");
        client.executeMethod(method);
        return method;
    }

    private static Object idle(HttpClient client, int port) throws Exception {
        Led.atOnce(() -> {
            GetMethod method = ask(client, port);
            method.getResponseBody();
            method.releaseConnection();
            return method;
        });
        return client;
    }

    private static Object kept(HttpClient client, int port) throws Exception {
        List<Object> methods = new ArrayList<>(List.of(client));
        for (int i = 0; i < Led.COUNT; i++) {
            methods.add(ask(client, port));
        }
        return methods;
    }

    private static Object released(HttpClient client, int port) throws Exception {
        for (int i = 0; i < Led.COUNT; i++) {
            ask(client, port).releaseConnection();
        }
        return client;
    }

    public static void main(String[] arguments) throws Exception {
        Led.lead(arguments, Map.of(
            "idle", (port, value) -> idle(client(), port),
            "swept", (port, value) -> idle(swept(value), port),
            "kept", (port, value) -> kept(swept(value), port),
            "released", (port, value) -> released(swept(value), port)));
    }
}
