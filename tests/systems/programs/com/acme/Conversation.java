// SPDX-License-Identifier: Apache-2.0
package com.acme;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;

/** Writes JSON lines to the test, like tests/workloads/workload.h. The test answers with a line. */
final class Conversation {
    private static final BufferedReader IN = new BufferedReader(new InputStreamReader(System.in));

    private Conversation() {}

    static void begin() {
        say("\"event\": \"process\", \"role\": \"program\", \"pid\": " + ProcessHandle.current().pid());
    }

    static synchronized void say(String words) {
        System.out.println("{" + words + "}");
        System.out.flush();
    }

    /** Tells the test the next step and waits until the test allows it, or for WORKLOAD_STEP_MS. */
    static void await(String next) throws IOException, InterruptedException {
        say("\"event\": \"waiting\", \"next\": \"" + next + "\", \"t\": " + System.currentTimeMillis() / 1000.0);
        String step = System.getenv("WORKLOAD_STEP_MS");
        if (step != null) {
            Thread.sleep(Long.parseLong(step));
            return;
        }
        String line = IN.readLine();
        if (line == null || line.equals("quit")) {
            System.exit(0);
        }
    }

    /** Writes the caller's stack and returns the argument. Must be on the same line as the call in question. */
    static <T> T recorded(String op, T result) {
        StringBuilder frames = new StringBuilder();
        for (StackTraceElement frame : new Throwable().getStackTrace()) {
            if (frame.getClassName().equals(Conversation.class.getName())) {
                continue;
            }
            frames.append(frames.length() == 0 ? "" : ", ");
            frames.append("{\"function\": \"" + frame.getClassName() + "." + frame.getMethodName() + "\", ");
            frames.append("\"file\": \"" + frame.getFileName() + "\", \"line\": " + frame.getLineNumber() + "}");
        }
        say("\"event\": \"touch\", \"op\": \"" + op + "\", \"thread\": \"" + Thread.currentThread().getName()
                + "\", \"stack\": [" + frames + "]");
        return result;
    }
}
