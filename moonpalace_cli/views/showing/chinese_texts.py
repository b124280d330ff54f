"""The Chinese of texts that are finished English where they are shown: outcomes with values in them, and warnings.

Warnings are stored as text. What stands in braces is found in the English; `phrases.py` says which values are
translated too.
"""

from __future__ import annotations

from collections.abc import Mapping

ENDINGS = {
    "silent for {seconds} s, then {how}": "静默 {seconds} 秒后，{how}",
    "{how}, silent for {seconds} s": "{how}，此前静默 {seconds} 秒",
    "{how}, retry after {seconds} s": "{how}，{seconds} 秒后可重试",
    "404, no endpoint is called {name}": "404，没有名为 {name} 的 endpoint",
    "404, the path lacks /v1": "404，路径缺少 /v1",
    "error in the answer: {kind}": "回答中有错误：{kind}",
    "client disconnected": "客户端断开了",
    "upstream failed": "API 一侧失败",
    "timed out": "超时",
    "repeat interrupted": "因重复而停止",
    "proxy died": "代理异常退出",
}
AGES = {
    "{count} d ago": "{count} 天前",
    "{count} h ago": "{count} 小时前",
    "{count} min ago": "{count} 分钟前",
    "{count} s ago": "{count} 秒前",
}
AT_LIMIT = {
    "it seems that your {limit} value is too small, please set a larger value": "{limit} 似乎太小了，请调大一些",
    "it seems that your {limit} value is too small, please set a larger value (suggested {again}: {number})": (
        "{limit} 似乎太小了，请调大一些（建议 {again} 设为 {number}）"
    ),
    "reasoning used up the budget ({spent} of {all} tokens)": "额度都用在推理上了（{all} 个 token 中的 {spent} 个）",
    "reasoning used up the budget": "额度都用在推理上了",
    "the context window of {count} tokens is full": "{count} 个 token 的上下文已满",
    "the answer ended without a finish reason, it may be incomplete": "回答没有给出结束原因，可能不完整",
}
STREAMS = {
    "nothing came from upstream for the last {seconds} s": "最后 {seconds} 秒 API 没有发来任何数据",
    "the client took nothing more for the last {seconds} s, with {count} bytes waiting for it": (
        "最后 {seconds} 秒客户端没有再接收，还有 {count} 字节等着它"
    ),
    "the stream ended without [DONE]: most clients accept that, others report an answer that broke off": (
        "流结束时没有 [DONE]：多数客户端不在意，有的会报告回答中断"
    ),
    "the stream ended without message_stop: clients that wait for it report an answer that broke off": (
        "流结束时没有 message_stop：等它的客户端会报告回答中断"
    ),
    "the stream ended without response.completed or another last event: clients report an answer that broke off": (
        "流结束时没有 response.completed，也没有别的结束事件：客户端会报告回答中断"
    ),
    "the stream ended without the blank line of its last event, which clients then ignore": (
        "流的最后一个事件后面没有空行，客户端会忽略这个事件"
    ),
    "the stream began with an error, which the client got with the status {status}": (
        "流一开始就是错误，客户端收到的状态码是 {status}"
    ),
    "the stream ended before the answer was complete": "回答还不完整，流就结束了",
    "the API ended the stream with an error: {error}": "API 以错误结束了流：{error}",
    "upstream did not end its answer after [DONE], so MoonPalace did": (
        "API 发出 [DONE] 之后没有结束响应，由 MoonPalace 代为结束"
    ),
    "events of the stream that are not JSON: {count}": "流里有 {count} 个事件不是 JSON",
    "an event of the stream is too large to be read; its bytes are kept": "流里有一个事件太大，没有解析；原文已保存",
    "the stream has too many events to be read to its end; its bytes are kept": (
        "流的事件太多，没有解析到结尾；原文已保存"
    ),
    "an event of the stream is too large to be merged into an answer": "流里有一个事件太大，无法合并成完整的回答",
    "an event of the stream is unreadable, so the merged answer would be incomplete": (
        "流里有一个事件无法解析，合并出的回答会不完整"
    ),
    "the stream was passed on unchanged, without checks for loops or usage": (
        "流原样转发了，没有检查重复，也没有读取用量"
    ),
    "the stream was not edited to its end because of a fault in MoonPalace": "MoonPalace 出错，流没有处理到结尾",
    "it appears that there is an issue with content repeating in the current response": "回答的内容似乎在不断重复",
    "merging the stream: {doubt}": "合并流时：{doubt}",
    "more warnings like these: {count}": "类似的警告还有 {count} 条",
    "{key} came in several types, of which one is kept": "{key} 有几种不同的类型，只保留了一种",
    "{key} came several times with the same text, which is kept once": "{key} 多次出现，文本相同，只保留一份",
    "{key} came whole each time, the last is kept": "{key} 每次都是完整的，保留最后一次",
    "{key} came as text and as a list, kept as a list": "{key} 有时是文本，有时是列表，按列表保存",
    "{key} came several times with other elements, all of which are kept": "{key} 多次出现，元素各不相同，全部保留",
    "{key} has different elements with the same index, which are kept apart": (
        "{key} 里有 index 相同但内容不同的元素，分开保留"
    ),
    "several tool calls had the same index, and were told apart by id, name and arguments": (
        "有几个工具调用的 index 相同，按 id、名称和参数区分"
    ),
    "the arguments of a tool call came twice, and are kept once": "有一个工具调用的参数出现了两次，只保留一份",
    "the arguments of a tool call went on behind their end": "有一个工具调用的参数在结束之后还有内容",
    "several blocks had the same index, and are kept apart": "有几个内容块的 index 相同，分开保留",
    "a block had no content_block_start": "有一个内容块没有 content_block_start",
    "the input of a tool call is not a JSON object, and is kept as partial_json": (
        "有一个工具调用的 input 不是 JSON 对象，保存为 partial_json"
    ),
    "the message had no message_start": "消息没有 message_start",
    "several output items had the same index, and are kept apart": "有几个 output 元素的 index 相同，分开保留",
    "several parts of an item had the same index, and are kept apart": (
        "同一个 output 元素里有几个部分的 index 相同，分开保留"
    ),
    "the last event has no output, which is that of the events before": "最后一个事件没有 output，用的是前面事件的内容",
    "the last event has other output items than the events before, and is kept": (
        "最后一个事件的 output 元素与前面的事件不同，以最后一个事件为准"
    ),
    "the last event has other text than the events before, and is kept": (
        "最后一个事件的文本与前面的事件不同，以最后一个事件为准"
    ),
    "the event that ends a text has other text than its pieces, and is kept": (
        "结束一段文本的事件与前面的片段不同，以结束事件为准"
    ),
}
BODIES = {
    "only the beginning of the answer is kept (setting max-body): {count} bytes are not": (
        "回答只保存了开头（设置 max-body），有 {count} 字节没有保存"
    ),
    "only the beginning of the message with the request is kept (setting max-body): {count} bytes are not": (
        "带有请求的那条消息只保存了开头（设置 max-body），有 {count} 字节没有保存"
    ),
    "the answer is too large to be read as a whole; its bytes are kept": "回答太大，没有整体解析；原文已保存",
    "the answer's encoding is broken: {problem}": "回答的压缩编码有误：{problem}",
    "the request's body could not be decoded: {problem}": "请求正文无法解码：{problem}",
    "the answer could not be passed on because of a fault in MoonPalace": "MoonPalace 出错，回答没能转发",
    "not read because of a fault in MoonPalace: {kind}": "MoonPalace 出错，没有解析：{kind}",
    "capture failed in mid-stream: the stored answer is incomplete": "中途记录失败，保存的回答不完整",
    "secrets in the {side} are masked: {kinds}": "{side}里的密钥已打码：{kinds}",
    "request": "请求",
    "answer": "回答",
    "bytes of the answer that its client had not taken when the proxy was stopped: {count}": (
        "代理停止时，客户端还有 {count} 字节的回答没有收"
    ),
    "the row has values that MoonPalace does not write: {names}": "这一行有不是 MoonPalace 写入的值：{names}",
}
DEVIATIONS = {
    "{place} has no id: clients cannot say in the next request which call a result belongs to": (
        "{place} 没有 id：客户端在下一次请求里无法说明结果属于哪个调用"
    ),
    "{place} has no call_id: clients cannot say which call a result belongs to": (
        "{place} 没有 call_id：客户端无法说明结果属于哪个调用"
    ),
    '{place} has finish_reason "stop" and tool calls: clients that go by the reason do not run the tools': (
        "{place} 的 finish_reason 是 stop，却有工具调用：按 finish_reason 判断的客户端不会执行工具"
    ),
    '{place} has finish_reason "tool_calls" and no tool call: clients that go by the reason have none to run': (
        "{place} 的 finish_reason 是 tool_calls，却没有工具调用：按 finish_reason 判断的客户端无事可做"
    ),
    'stop_reason is "end_turn" beside tool_use: clients that go by the reason do not run the tools': (
        "有 tool_use，stop_reason 却是 end_turn：按 stop_reason 判断的客户端不会执行工具"
    ),
    'stop_reason is "tool_use" without a tool_use block: clients that go by the reason have none to run': (
        "stop_reason 是 tool_use，却没有 tool_use：按 stop_reason 判断的客户端无事可做"
    ),
    "{place}.arguments is {what} instead of JSON in a string: clients fail, or run the tool without them": (
        "{place}.arguments 是{what}，而不是 JSON 字符串：客户端会出错，或者不带参数执行工具"
    ),
    "an object": "对象",
    "not text": "非文本",
    "{place}.arguments is not a JSON object: clients fail, or run the tool without them": (
        "{place}.arguments 不是 JSON 对象：客户端会出错，或者不带参数执行工具"
    ),
    "usage.total_tokens is {total}, but {input}_tokens and {output}_tokens make {sum}: clients that read the total "
    "count other tokens than those that add the parts": (
        "usage.total_tokens 是 {total}，而 {input}_tokens 与 {output}_tokens 之和是 {sum}：取总数的客户端和自行相加的"
        "客户端会得到不同的结果"
    ),
    "usage has {number} {part} tokens, but only {all} {whole} tokens, which should include them: clients compute a "
    "negative number for the rest": (
        "usage 里 {part} token 有 {number} 个，而应当包含它们的 {whole} token 只有 {all} 个：客户端会算出负数"
    ),
}
CACHES = {
    "the API refused {hint} with {status}: the call was sent again without it": (
        "API 不接受 {hint}（{status}），去掉之后又发了一次"
    ),
    "the API refused the context cache {cache} with {status}: the call was sent again without it": (
        "API 不接受上下文缓存 {cache}（{status}），去掉之后又发了一次"
    ),
}
CHANGES = {
    "{name}: set to the configured key": "{name}：换成了配置的 Key",
    "{name}: set as configured": "{name}：按配置设置",
    "body: {what}": "正文：{what}",
    "{one} and {other} set to true": "{one} 与 {other} 设为 true",
    "{name} set to true": "{name} 设为 true",
    "{name} added": "加上了 {name}",
    "headers: {names}": "消息头：{names}",
}
TUNNELS = {
    "what passed through the WebSocket: from the client {asked}": "WebSocket 中传输的内容：客户端发出 {asked}",
    "what passed through the tunnel ({protocol}) is not kept: from the client {asked}": (
        "隧道（{protocol}）中传输的内容没有保存：客户端发出 {asked}"
    ),
    "from the API {given}": "API 发出 {given}",
    "{count} messages, {size} bytes": "{count} 条消息，{size} 字节",
    "{size} bytes": "{size} 字节",
    "calls in it with rows of their own: {count}": "其中另有记录的调用：{count} 次",
    "{how} after {seconds} s": "{seconds} 秒后{how}",
    "the proxy ended it": "由代理结束",
    "it ended": "结束",
    "the client ended it": "由客户端结束",
    "the API ended it": "由 API 结束",
    "the client ended it {how}": "由客户端结束（{how}）",
    "the API ended it {how}": "由 API 结束（{how}）",
    "before anything could pass": "还没有传输任何内容",
    "without closing the WebSocket": "没有关闭 WebSocket",
    "with code {code}": "代码 {code}",
    "without a code": "没有代码",
    "messages of the WebSocket could not be read, and are not kept from there on; they passed all the same": (
        "WebSocket 的消息无法解析，从那里起没有保存，但照常转发了"
    ),
    "more than {count} calls were under way in the WebSocket at once; those after them have no rows": (
        "WebSocket 里同时进行的调用超过 {count} 次，多出来的没有记录"
    ),
}
ORIGINAL = {
    "the original MoonPalace's time of this call cannot be read; it has that of the call before": (
        "原版 MoonPalace 记录的时间无法读取，用了前一次调用的时间"
    ),
    "the original MoonPalace broke off at this call and recorded no status": (
        "原版 MoonPalace 在这次调用时中断，没有记录状态"
    ),
    "the stream has no [DONE]: it may have been cut off, which the original MoonPalace did not record": (
        "流里没有 [DONE]，可能被截断了，原版 MoonPalace 没有记录"
    ),
}
TEXTS: Mapping[str, str] = (
    ENDINGS | AGES | AT_LIMIT | STREAMS | BODIES | DEVIATIONS | CACHES | CHANGES | TUNNELS | ORIGINAL
)
