// SPDX-License-Identifier: Apache-2.0
package com.acme;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.concurrent.TimeUnit;
import org.apache.http.client.HttpClient;
import org.apache.http.client.methods.HttpGet;
import org.apache.http.impl.client.DefaultHttpClient;
import org.apache.http.impl.conn.PoolingClientConnectionManager;
import org.apache.http.util.EntityUtils;

/** The first Tomcat's servlet. It asks the second one through nginx. Its pool closes idle connections too late, or by "evict". */
@SuppressWarnings("deprecation")
public final class OrderServlet extends HttpServlet {
    private static final long serialVersionUID = 1L;
    private final transient PoolingClientConnectionManager pool = new PoolingClientConnectionManager();
    private final transient HttpClient client = new DefaultHttpClient(pool);
    private transient Thread evictor;

    @Override
    public void init() {
        pool.setMaxTotal(100);
        pool.setDefaultMaxPerRoute(100);
        pool.closeIdleConnections(5, TimeUnit.SECONDS);
        if (Boolean.getBoolean("evict")) {
            evictor = new Thread(this::evict, "evictor");
            evictor.setDaemon(true);
            evictor.start();
        }
    }

    private void evict() {
        while (!Thread.currentThread().isInterrupted()) {
            pool.closeIdleConnections(500, TimeUnit.MILLISECONDS);
            try {
                Thread.sleep(250);
            } catch (InterruptedException e) {
                return;
            }
        }
    }

    @Override
    public void destroy() {
        pool.shutdown();
        if (evictor != null) {
            evictor.interrupt();
        }
    }

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        response.getWriter().println("order: " + askForStock());
    }

    String askForStock() throws IOException {
        return EntityUtils.toString(client.execute(new HttpGet(System.getProperty("stock.url"))).getEntity());
    }
}
