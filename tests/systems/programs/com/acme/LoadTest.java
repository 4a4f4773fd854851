// SPDX-License-Identifier: Apache-2.0
package com.acme;

import java.util.ArrayList;
import java.util.List;
import org.apache.commons.httpclient.HttpClient;
import org.apache.commons.httpclient.HttpConnectionManager;
import org.apache.commons.httpclient.MultiThreadedHttpConnectionManager;
import org.apache.commons.httpclient.SimpleHttpConnectionManager;
import org.apache.commons.httpclient.methods.PostMethod;
import org.apache.commons.httpclient.methods.StringRequestEntity;

/**
 * A load test with HttpClient 3.1: LoadTest URL REQUESTS simple|pooled none|header|close|idle. Each request has its own client,
 * as in a simple test harness, and releases its connection. The last argument is the cure.
 */
public final class LoadTest {
    private final String url;
    private final boolean pooled;
    private final String cure;
    private final List<HttpConnectionManager> managers = new ArrayList<>();

    LoadTest(String url, boolean pooled, String cure) {
        this.url = url;
        this.pooled = pooled;
        this.cure = cure;
    }

    private HttpConnectionManager manager() {
        if (pooled) {
            return new MultiThreadedHttpConnectionManager();
        }
        return new SimpleHttpConnectionManager(cure.equals("close"));
    }

    int post() throws Exception {
        HttpConnectionManager manager = manager();
        managers.add(manager);
        PostMethod method = new PostMethod(url);
        method.setRequestEntity(new StringRequestEntity("order=1", "text/plain", "UTF-8"));
        if (cure.equals("header")) {
            method.setRequestHeader("Connection", "close");
        }
        try {
            return Conversation.recorded("recv", new HttpClient(manager).executeMethod(method));
        } finally {
            method.releaseConnection();
            closeAfterUse(manager);
        }
    }

    private void closeAfterUse(HttpConnectionManager manager) {
        if (cure.equals("idle")) {
            manager.closeIdleConnections(0);
        } else if (cure.equals("close") && manager instanceof MultiThreadedHttpConnectionManager) {
            ((MultiThreadedHttpConnectionManager) manager).shutdown();
        }
    }

    public static void main(String[] arguments) throws Exception {
        LoadTest test = new LoadTest(arguments[0], arguments[2].equals("pooled"), arguments[3]);
        Conversation.begin();
        Conversation.await("load");
        for (int i = Integer.parseInt(arguments[1]); i > 0; i--) {
            test.post();
        }
        Conversation.await("end");
    }
}
