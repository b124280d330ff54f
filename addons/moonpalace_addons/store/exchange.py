"""One stored call, as the table `exchanges` has it, and what each of its columns means.

The default of each attribute describes a stored field (`field.py`); `fields.py` has the derived ones.
"""

from datetime import datetime
from typing import NamedTuple

from moonpalace_addons.store.field import long, milliseconds, nanoseconds, stored
from moonpalace_addons.store.state import State
from moonpalace_addons.wire.status import FIRST_ERROR


class Exchange(NamedTuple):
    """One stored call without its bodies: what the columns of the table `exchanges` hold, in the same names.

    Durations are in nanoseconds, `server_timing` in milliseconds. The table has a column for each attribute, and the
    view `calls` has them in this order: a new one comes at the end of its section. As a frozen dataclass it would take
    ten times as long to create, and one is created for each call that ends.
    """

    id: int = stored("row number, for --id", "编号", section="The call", width=6, metadata="moonpalace_id")
    uuid: str = stored("ID that is unique across all stores", "在所有数据库中唯一的 ID", public=True)
    started_at: datetime = stored(
        "start of the request, in local time",
        "请求开始的时刻（本地时间）",
        name="requested_at",
        also="created_at",
        width=19,
        metadata=True,
        carried=True,
    )
    method: str = stored(
        "HTTP method", "HTTP 方法", also="request_method", fit="whole", width=6, public=True, carried=True
    )
    endpoint: str = stored("base URL of the API that the call was forwarded to", "转发到的 API 地址", metadata=True)
    endpoint_name: str | None = stored(
        "name of the endpoint in config.yaml", "endpoint 在 config.yaml 中的名字", metadata=True
    )
    path: str = stored("path of the URL", "地址中的路径", also="request_path", place="request path")
    query: str = stored("query string of the URL", "地址中的查询串", also="request_query", place="request query")
    model_requested: str | None = stored("model named in the request", "请求中写的模型", public=True)
    model_answered: str | None = stored("model named in the response", "回答中写的模型", public=True)
    is_stream: bool = stored(
        "whether the response is a stream, or was requested as one", "是否流式（或请求了流式）", name="stream"
    )
    is_coerced: bool = stored(
        "whether --force-stream turned the request into a stream",
        "是否由 --force-stream 改为流式",
        name="coerced",
        carried=True,
    )
    changes: tuple[str, ...] = stored(
        "changes that the proxy made to the request", "代理对请求的改动", public=True, carried=True
    )
    purpose: str | None = stored(
        "why MoonPalace made the call itself: explain; empty for calls of programs",
        "MoonPalace 自己发起调用的用途：explain；其他程序的调用为空",
        metadata=True,
        public=True,
    )
    key_fingerprint: str | None = stored(
        "fingerprint of the API key, to tell keys apart", "API Key 的指纹，用来区分不同的 Key", public=True
    )
    client_request_id: str | None = stored(
        "X-Request-Id header of the request", "请求头 X-Request-Id", place="request header"
    )
    session: str | None = stored(
        "session of the client, as its headers, metadata or prompt_cache_key name it",
        "客户端的会话，取自请求头、metadata 或 prompt_cache_key",
        metadata=True,
        place="session, prompt_cache_key",
    )
    request_content_type: str | None = stored(
        "Content-Type of the request", "请求的 Content-Type", metadata=True, public=True
    )
    request_bytes: int = stored("size of the request body in bytes", "请求正文的字节数", carried=True)
    request_headers: str = stored("request headers", "请求头", name="request_header", kind="headers")
    status_code: int | None = stored(
        "status code; in tables, the state of an incomplete call, or 200 error if the response holds an error",
        "状态码；在表格中，未完成的调用显示状态，回答中有错误的显示 200 error",
        name="status",
        section="The response",
        fit="cut",
        width=19,
        metadata=True,
    )
    state: State = stored(
        "how the call ended: completed, upstream_failed, client_disconnected …; or in_flight",
        "调用如何结束：completed、upstream_failed、client_disconnected……进行中为 in_flight",
        fit="cut",
        width=19,
        metadata=True,
        public=True,
    )
    error_kind: str | None = stored(
        "kind of failure, or type of the error that the API returned",
        "失败的种类，或者 API 返回的错误类型",
        public=True,
    )
    error_message: str | None = stored("message of the error", "错误信息", fit="cut", place="error")
    warnings: tuple[str, ...] = stored(
        "warnings about the request or the response",
        "关于请求或响应的警告",
        metadata=True,
        place="warning",
        carried=True,
    )
    finish_reason: str | None = stored(
        "why the model stopped: stop, length, tool_calls …; of several choices, the first reason other than stop",
        "模型为何停止：stop、length、tool_calls……有多个 choice 时取第一个不是 stop 的",
        fit="whole",
        width=13,
        metadata=True,
        public=True,
    )
    chatcmpl_id: str | None = stored(
        "ID of the completion, message or response, for --chatcmpl",
        "completion、message 或 response 的 ID",
        name="chatcmpl",
        also="moonshot_id",
        width=41,
        metadata=True,
        public=True,
    )
    msh_request_id: str | None = stored(
        "request ID in the headers of the response (Msh-Request-Id, x-request-id, request-id), for --requestid",
        "响应头中的请求 ID（Msh-Request-Id、x-request-id、request-id）",
        name="request_id",
        also="moonshot_request_id",
        width=36,
        metadata=True,
        public=True,
    )
    msh_uid: str | None = stored(
        "Msh-Uid header of the response: the account",
        "响应头 Msh-Uid：账号",
        name="user_id",
        also="moonshot_uid",
        width=20,
        metadata=True,
        place="response header, Msh-Uid",
    )
    msh_gid: str | None = stored(
        "Msh-Gid header of the response: the group of the account",
        "响应头 Msh-Gid：账号所在的组",
        name="group_id",
        also="moonshot_gid",
        metadata=True,
        place="response header, Msh-Gid",
    )
    response_content_type: str | None = stored(
        "Content-Type of the response",
        "响应的 Content-Type",
        name="content_type",
        width=17,
        metadata="content_type response_content_type",
        public=True,
    )
    response_bytes: int | None = stored(
        "size of the response body in bytes, decoded", "响应正文解码后的字节数", carried=True
    )
    requests_left: int | None = stored("requests that the API's rate limit still allows", "速率限制还允许的请求数")
    tokens_left: int | None = stored("tokens that the API's rate limit still allows", "速率限制还允许的 token 数")
    retry_after: int | None = milliseconds(
        "time that the API asks to wait before another try",
        "API 要求等多久再试",
        carried=False,  # it is a header
    )
    response_headers: str | None = stored("response headers", "响应头", name="response_header", kind="headers")
    prompt_tokens: int | None = stored(
        "prompt tokens, including cached ones", "输入 token，包括命中缓存的", section="Tokens", metadata=True
    )
    completion_tokens: int | None = stored(
        "completion tokens, including reasoning", "输出 token，包括推理", metadata=True
    )
    total_tokens: int | None = stored(
        "prompt and completion tokens together", "输入和输出 token 合计", name="tokens", metadata="total_tokens"
    )
    cached_tokens: int | None = stored("prompt tokens that the API had cached", "命中缓存的输入 token", metadata=True)
    reasoning_tokens: int | None = stored("completion tokens spent on reasoning", "用于推理的输出 token", metadata=True)
    cache_write_tokens: int | None = stored(
        "prompt tokens that the API wrote to its cache", "写入缓存的输入 token", metadata=True
    )
    cache_write_1h_tokens: int | None = stored("those of them that it keeps for an hour", "其中保留一小时的部分")
    service_tier: str | None = stored("tier in which the API served the call", "服务等级", public=True)
    cache_outcome: str | None = stored(
        "result of --auto-cache: hit, miss, created, refused, unused",
        "--auto-cache 的结果：hit、miss、created、refused、unused",
        metadata=True,
        public=True,
    )
    cache_tokens: int | None = stored(
        "tokens of the context cache that was used", "所用上下文缓存的 token 数", metadata=True
    )
    context_cache_id: str | None = stored(
        "ID of the context cache that was used", "所用上下文缓存的 ID", metadata=True, public=True
    )
    cost: float | None = stored(
        "what the call cost, in cost_currency; empty if no price is known",
        "费用，货币见 cost_currency；没有价格时为空",
        section="Cost",
        metadata=True,
        carried=True,
    )
    cost_input: float | None = stored(
        "part of the cost for prompt tokens that were not cached", "其中未命中缓存的输入", metadata=True, carried=True
    )
    cost_cached: float | None = stored(
        "part of the cost for cached prompt tokens", "其中命中缓存的输入", metadata=True, carried=True
    )
    cost_output: float | None = stored(
        "part of the cost for completion tokens", "其中输出", metadata=True, carried=True
    )
    cost_currency: str | None = stored(
        "currency of the cost: USD, CNY …", "费用的货币：USD、CNY……", fit="whole", metadata=True, public=True
    )
    price_input: float | None = stored(
        "price of a million prompt tokens of this call", "这次调用每百万输入 token 的价格", carried=True
    )
    price_cached: float | None = stored(
        "price of a million cached prompt tokens of this call", "这次调用每百万缓存 token 的价格", carried=True
    )
    reported_cost: float | None = stored(
        "cost in US dollars that the API itself reports", "API 自己报告的费用（美元）", carried=True
    )
    latency: int | None = long(
        "time from the request to the end of the response", "从请求到响应结束的时间", section="Times", metadata=True
    )
    time_to_first_token: int | None = milliseconds(
        "time to the first token of a stream",
        "到首个 token 的时间",
        name="ttft",
        also="response_ttft",
        metadata="response_ttft",
    )
    time_to_first_visible_token: int | None = long(
        "time to the first token that is not reasoning", "到首个可见（非推理）token 的时间"
    )
    time_to_headers: int | None = long("time to the response headers", "到响应头的时间")
    time_per_output_token: int | None = milliseconds(
        "time per output token after the first",
        "首个之后每个 token 的时间",
        name="tpot",
        also="response_tpot",
        metadata="response_tpot",
    )
    output_tokens_per_second: float | None = stored(
        "output tokens per second",
        "每秒输出的 token 数",
        name="otps",
        also="response_otps",
        metadata="response_otps",
        carried=True,
    )
    longest_stall: int | None = milliseconds(
        "longest gap between two chunks of a stream, or before its end", "流中最长的停顿，结束前的也算"
    )
    gap_p50: int | None = nanoseconds("median of the gaps between the chunks of a stream", "流中数据块间隔的中位数")
    gap_p90: int | None = nanoseconds("90th percentile of these gaps", "这些间隔的第 90 百分位")
    gap_p99: int | None = nanoseconds("99th percentile of these gaps", "这些间隔的第 99 百分位")
    server_timing: int | None = stored(
        "milliseconds that the API reports in its headers (Server-Timing, openai-processing-ms)",
        "API 在响应头中报告的毫秒数（Server-Timing、openai-processing-ms）",
        also="moonshot_server_timing",
        metadata=True,
    )
    overhead: int | None = nanoseconds(
        "time for which MoonPalace's addons held the call up, without its HTTP engine",
        "MoonPalace 的插件在调用继续之前所用的时间，不含其 HTTP 引擎",
    )
    category: str | None = stored(
        "goodcase or badcase", "goodcase 或 badcase", section="Labels", fit="whole", public=True
    )
    note: str | None = stored("note set by mpal label or export", "mpal label 或 export 写的备注", fit="cut", width=24)

    @property
    def has_timed_end(self) -> bool:
        """Tell whether a stream was kept to its end, so that the silence before that is known."""
        return self.longest_stall is not None

    @property
    def holds_error(self) -> bool:
        """Tell whether the answer reports an error in spite of its status, mostly at the end of a stream."""
        names_one = bool(self.error_kind or self.error_message)
        return names_one and self.state is State.COMPLETED and (self.status_code or 0) < FIRST_ERROR


STORED = Exchange._field_defaults
"""The description of each attribute."""
Exchange.__new__.__defaults__ = None  # the descriptions are no default values
