# SPDX-License-Identifier: Apache-2.0
# A web application for puma: each request asks another server, whose port it gets, and keeps the connection.
require "net/http"

class Prices
  KEPT = []

  def call(env)
    [200, { "content-type" => "text/plain" }, [fetch_price(Integer(env["QUERY_STRING"]))]]
  end

  def fetch_price(port)
    http = Net::HTTP.new("127.0.0.1", port)
    http.start
    KEPT << http
    http.get("/price").body
  end
end

run Prices.new
