"""Chinese translations of outcomes and of the sentences of `mpal why` and `mpal cache why`, by the English template."""

from __future__ import annotations

from collections.abc import Mapping

CUT = {
    "its limit": "上限",
    "{count} tokens": " {count} 个 token ",
    "; the request allows {limit}": "；请求设的上限是 {limit}",
    "the answer was cut at {used}, and {spent} of them were reasoning{limit}": (
        "回答在{used}处被截断，其中 {spent} 个 token 用于推理{limit}"
    ),
    "raise max_completion_tokens, which counts reasoning too, or ask for less thinking": (
        "调大 max_completion_tokens（推理也算在内），或者让模型少思考一些"
    ),
    "the answer was cut at {used}{limit}": "回答在{used}处被截断{limit}",
    "raise max_completion_tokens (max_tokens), or leave it out": "调大 max_completion_tokens（max_tokens），或者不设",
    "set max_completion_tokens to more than that: the request names no limit, and the API has one": (
        "设一个更大的 max_completion_tokens：请求没有设上限，API 用了自己的上限"
    ),
    "prompt and answer together fill the model's context": "提示词和回答加起来占满了模型的上下文",
    "shorten the history or the tools' results, or use a model with a larger context": (
        "精简历史消息或工具结果，或者换用上下文更长的模型"
    ),
    "a filter of the API stopped the answer (finish reason {reason})": (
        "API 的内容过滤中止了回答（finish_reason 为 {reason}）"
    ),
    "change the wording of the prompt; what has come of the answer is stored": (
        "换一种说法再试；已收到的部分回答已经入库"
    ),
    "the answer ended without a finish reason: it may be incomplete": "回答没有给出结束原因，可能不完整",
    "the stream is empty: the API ended it before its first byte": "流是空的：API 一个字节都没有发就结束了",
    "the stream ended without {rest}": "流提前结束，缺少 {rest}",
    "send it again, and compare": "再发一次，对比结果",
    "the answer has only reasoning, though the model ended it by itself": "回答里只有推理，而这是模型自己结束的",
    "the answer is empty, though the model ended it by itself": "回答是空的，而这是模型自己结束的",
    "look at the last messages: the model may have seen nothing to answer; {again}": (
        "看看最后几条消息，模型可能觉得没什么需要回答；{again}"
    ),
    "the arguments of the tool call {name} are not JSON: {text}": "工具调用 {name} 的参数不是 JSON：{text}",
    "return the error to the model as the tool's result; if the answer was cut, raise its limit": (
        "把错误当作工具结果返回给模型；如果回答被截断了，就调大上限"
    ),
}
LOOPS = {
    "MoonPalace ended the answer: {why}": "MoonPalace 中止了回答：{why}",
    "it repeated itself": "内容在重复",
    "try again, with a higher temperature or a frequency_penalty; --no-detect-repeat lets such answers run": (
        "调高 temperature 或者加上 frequency_penalty 再试；用 --no-detect-repeat 则不会中止"
    ),
    "the answer repeats itself from character {position} on: {sample}": (
        "回答从第 {position} 个字符开始不断重复：{sample}"
    ),
    "mpal start --detect-repeat ends such answers early; a frequency_penalty may prevent them": (
        "mpal start --detect-repeat 会提前中止这样的回答；加上 frequency_penalty 或许可以避免"
    ),
}
REFUSED = {
    "the API said: {message}": "API 返回：{message}",
    "401 from {endpoint}, but {other} accepted the same key": "{endpoint} 返回 401，而 {other} 接受同一个 Key",
    "use it there: --endpoint {other}": "应该用在那边：--endpoint {other}",
    "401 from {endpoint}: the request had no key": "{endpoint} 返回 401：请求没有带 Key",
    "set the client's api_key, or start with --key": "在客户端设置 api_key，或者启动时加上 --key",
    "401 from {endpoint}: it does not know this key": "{endpoint} 返回 401：它不认识这个 Key",
    "check the key for a typing error{keys}": "检查 Key 有没有写错{keys}",
    "; keys of {endpoint} and {other} are not interchangeable: try --endpoint {other}": (
        "；{endpoint} 与 {other} 的 Key 互不通用，试试 --endpoint {other}"
    ),
    "429 {kind}: {message}": "429 {kind}：{message}",
    "top up the account; trying again does not help": "给账户充值；重试没有用",
    "wait {seconds} s": "等 {seconds} 秒",
    "wait a moment": "稍等片刻",
    "429: the API is overloaded, which is not your fault": "429：API 过载，与你的请求无关",
    "{wait}, then try again": "{wait}再试",
    "429 {kind}; {count} calls with this key began in the minute before": (
        "429 {kind}；此前一分钟内，这个 Key 发起了 {count} 次调用"
    ),
    "{wait}, then try again; send fewer calls at a time": "{wait}再试，并减少同时发起的调用",
    "404: MoonPalace has no endpoint called {name}": "404：MoonPalace 里没有名为 {name} 的 endpoint",
    "name one that config.yaml has (mpal config lists them), or take /@NAME out of the client's base_url": (
        "换成 config.yaml 里有的名字（mpal config 会列出），或者去掉客户端 base_url 里的 /@NAME"
    ),
    "404: the path {path} does not begin with /v1": "404：路径 {path} 不以 /v1 开头",
    "end the client's base_url in /v1, so that it calls /v1{path}": (
        "让客户端的 base_url 以 /v1 结尾，这样请求的就是 /v1{path}"
    ),
    "change the wording of the prompt; the API's filter refused it": "换一种说法再试；提示词被 API 的内容过滤拒绝了",
    "the API refused the request: {said}": "API 拒绝了请求：{said}",
    "mpal inspect {id} --print-request shows what was sent": "用 mpal inspect {id} --print-request 查看发出的请求",
    "the request's body is {what}: {said}": "请求正文{what}：{said}",
    "{count} bytes, which are not JSON": "有 {count} 字节，但不是 JSON",
    "empty, which is not JSON": "是空的，不是 JSON",
    "let a JSON library write it; a body that ends early was cut by the client": (
        "用 JSON 库来生成正文；如果正文不完整，那是被客户端截断的"
    ),
    "{status}: {count} bytes are too large for the API or a gateway before it": (
        "{status}：请求有 {count} 字节，超出了 API 或它前面的网关的限制"
    ),
    "send smaller images or files, or upload them first and refer to them": "换小一些的图片或文件，或者先上传再引用",
    "calls of tools and their results do not match: {mismatches}{more}": "工具调用与结果对不上：{mismatches}{more}",
    ", and {count} more": "，另有 {count} 处",
    "keep the assistant's message with its tool_calls, and let one tool message follow for each of them": (
        "保留带有 tool_calls 的 assistant 消息，并为其中每个调用各跟上一条 tool 消息"
    ),
    "no call": "某个未写明的调用",
    "message {number} is the result of {call}, which is not called": (
        "第 {number} 条消息是 {call} 的结果，却没有这个调用"
    ),
    "the call {call} in message {number} has no result": "第 {number} 条消息里的调用 {call} 没有结果",
}
NETWORK = {
    "nowhere": "（没有给出地址）",
    "{status}: the endpoint redirects to {where}": "{status}：endpoint 重定向到 {where}",
    "set --endpoint to the address that it redirects to, which is mostly https:// instead of http://": (
        "把 --endpoint 改成重定向后的地址，多半是把 http:// 换成 https://"
    ),
    "{endpoint} answered {code} with a page of HTML, as websites do and the API does not": (
        "{endpoint} 返回 {code} 和一个 HTML 页面，这是网站，不是 API"
    ),
    "check --endpoint, and whether the network wants a login in a browser": (
        "检查 --endpoint，以及网络是否需要先在浏览器里登录"
    ),
    "check --endpoint, and whether something listens there": "检查 --endpoint，以及那里有没有程序在监听",
    "check the network, and --upstream-proxy if there is a proxy in between": (
        "检查网络；如果中间有代理，检查 --upstream-proxy"
    ),
    "check the spelling of --endpoint, and the network": "检查 --endpoint 有没有写错，以及网络",
    "check the certificate: --upstream-ca names the CA of a private endpoint": (
        "检查证书：自建的 CA 用 --upstream-ca 指定"
    ),
    "check --upstream-proxy and HTTPS_PROXY": "检查 --upstream-proxy 和 HTTPS_PROXY",
    "set --endpoint to the API, not to this proxy": "--endpoint 要指向 API，而不是这个代理自己",
    "{endpoint} was not reached: {why}": "连接不上 {endpoint}：{why}",
    "{status}{page}{took}": "{status}{page}{took}",
    " with a page of HTML, as gateways do,": "，内容是 HTML 页面，一般来自网关",
    " after {duration}": "，历时 {duration}",
    "try again; if it took long, {force}": "再试一次；如果耗时很长，{force}",
    "stream, or start with --force-stream: a connection on which bytes arrive is not cut": (
        "改用流式输出，或者启动时加上 --force-stream：一直有数据的连接不会被断开"
    ),
    "the connection was cut after {duration} without a byte, as gateways do": (
        "连接在 {duration} 没有任何数据后被断开，一般是网关所为"
    ),
    " after {count} bytes of the answer": "，此时已收到 {count} 字节的回答",
    " before any answer": "，没有给出任何回答",
    "the API closed the connection{received}": "API 关闭了连接{received}",
    "try again": "再试一次",
    "try again; the part that arrived is stored": "再试一次；已收到的部分已经入库",
    " after {latency}": "在 {latency} 后",
    "your program hung up{after}, when nothing had come from the API for {silence}": (
        "你的程序{after}断开了连接，此前 API 已有 {silence} 没有发来数据"
    ),
    "raise your client's read timeout; thinking models can be silent for minutes": (
        "调大客户端的读取超时；思考模型可能几分钟没有输出"
    ),
    "your program hung up{after}, before the API answered": "你的程序{after}断开了连接，API 还没有开始回答",
    "raise your client's timeout, or ask for a stream": "调大客户端的超时，或者改用流式输出",
    "your program hung up{after}, while the answer was arriving": "你的程序{after}断开了连接，回答还没有收完",
    "look for a timeout or an exception there": "看看程序是不是超时了，或者抛出了异常",
    "the API sent nothing for as long as --idle-timeout allows": "API 没有发来数据的时间超过了 --idle-timeout",
    "try again, or raise --idle-timeout": "再试一次，或者调大 --idle-timeout",
    "the proxy ended during the call": "调用还没有结束，代理就退出了",
    "send it again; mpal doctor shows what the store holds of it": "重新发送；mpal doctor 会报告数据库里留下了什么",
    "the answer began with status {status} and ended in an error: {kind}: {message}": (
        "回答的状态码是 {status}，但以错误结束：{kind}：{message}"
    ),
    "try again; a client must look for errors in streams too": "再试一次；客户端也要检查流里的错误",
    "{status}: {message}": "{status}：{message}",
    "the API failed": "API 出错",
    "try again; the fault is the API's": "再试一次；问题出在 API",
    "the stream was silent for {duration}, from {start} on": "流从 {start} 起静默了 {duration}",
    "mpal inspect {id} --timeline shows where": "用 mpal inspect {id} --timeline 查看发生在哪里",
}
NO_FAULT = {
    "nothing that is stored shows a fault; mpal inspect --timeline and --chat show more, mpal explain asks a model": (
        "已存的内容看不出问题；mpal inspect --timeline 和 --chat 给出更多细节，mpal explain 会问模型"
    ),
}
CACHE = {
    "none of its {count} prompt tokens were cached, though it continues call {call}{parts}": (
        "它接着调用 {call} 往下说，{count} 个提示词 token 却都没有命中缓存{parts}"
    ),
    "none of its {count} prompt tokens were cached, though its prompt is nearly that of call {call}{parts}": (
        "它的提示词和调用 {call} 几乎一样，{count} 个提示词 token 却都没有命中缓存{parts}"
    ),
    ", from which it differs in message {number}": "；两者从第 {number} 条消息开始不同",
    "keep the beginning of prompts unchanged; mpal cache why {id} shows the difference": (
        "让提示词的开头保持不变；mpal cache why {id} 会指出差别"
    ),
    "that one was in flight: let one call end before others with the same beginning are sent": (
        "当时那次调用还没结束：等一次调用结束之后，再发开头相同的其他调用"
    ),
    "the cache has probably expired: send calls that continue a conversation sooner": (
        "缓存可能已经过期：接着往下说的调用要早一点发"
    ),
    "the prompt is not the cause; try --cache-key-hint, which helps calls to reach the same cache": (
        "问题不在提示词；可以试试 --cache-key-hint，它让调用更容易落到同一份缓存上"
    ),
    "mark the beginning of prompts with cache_control: without it this API caches nothing": (
        "给提示词的开头加上 cache_control：不加的话，这个 API 什么都不缓存"
    ),
}
PROMPTS = {
    "call {id} continues call {earlier}, {passed} earlier": "调用 {id} 接着 {passed} 之前的调用 {earlier} 往下说",
    "call {id} continues no call; call {earlier}, {passed} earlier, has the most similar prompt": (
        "调用 {id} 没有接着任何调用往下说；提示词与它最像的是 {passed} 之前的调用 {earlier}"
    ),
    "messages: {shared} of {all} were in call {id} too, the first {same} in the same place": (
        "消息：共 {all} 条，其中 {shared} 条调用 {id} 也有，前 {same} 条位置相同"
    ),
    "tools: {count}, the same": "工具：{count} 个，相同",
    "tools: {count}, changed: a prefix begins with them": "工具：{count} 个，有改动；前缀是从工具开始的",
    "model: {name}, the same": "模型：{name}，相同",
    "model: {before} -> {after}: models do not share caches": "模型：{before} -> {after}；不同的模型不共用缓存",
    "other parameters, which are not part of a prefix: {names}": "其他不同的参数（不属于前缀）：{names}",
    "context cache: {used}": "上下文缓存：{used}",
    "cause: {why}": "原因：{why}",
    "the API says: {said}": "API 的说法：{said}",
    "diverged: nowhere, one is a prefix of the other": "没有分歧：一个是另一个的开头",
    "no role": "没有角色",
    "diverged: message {number} ({role}) was inserted": "分歧：第 {number} 条消息（{role}）是插入的",
    "diverged: message {number} ({role}) of call {id} was removed": (
        "分歧：调用 {id} 的第 {number} 条消息（{role}）被去掉了"
    ),
    "diverged: message {number} ({role}) changed after {where}": "分歧：第 {number} 条消息（{role}）在{where}之后变了",
    "{count} bytes": " {count} 字节",
    "1 character": " 1 个字符",
    "{count} characters": " {count} 个字符",
    "tokens: unknown, one of the two calls has no usage": "token：未知，两次调用之一没有用量",
    "tokens: {cached} of {prompt} were cached": "token：{prompt} 个中有 {cached} 个命中缓存",
    "tokens: {cached} of {prompt} were cached; if the earlier call had ended, {possible} could have been{blocks}": (
        "token：{prompt} 个中有 {cached} 个命中缓存；如果前一次调用已经结束，可以命中 {possible} 个{blocks}"
    ),
    "tokens: {cached} of {prompt} were cached; with the earlier prompt unchanged, {possible} could have been{blocks}": (
        "token：{prompt} 个中有 {cached} 个命中缓存；如果沿用前一次的提示词，可以命中 {possible} 个{blocks}"
    ),
    " (1 block of {size})": "（1 块，每块 {size} 个）",
    " ({count} blocks of {size})": "（{count} 块，每块 {size} 个）",
    "cost: nothing": "代价：无",
    ": {amount}": "：{amount}",
    "cost: {count} tokens that were not cached{money}": "代价：{count} 个 token 没有命中缓存{money}",
    "expired: {passed} had passed, and the cache's lifetime was {seconds} s": (
        "已过期：过去了 {passed}，而缓存的有效期是 {seconds} s"
    ),
    "probably expired: {passed} had passed, and caches usually live for {minutes} to 10 minutes": (
        "可能已过期：过去了 {passed}，而缓存一般保留 {minutes} 到 10 分钟"
    ),
    "lost: only {passed} had passed: another machine of the API answered, or it had dropped the cache": (
        "缓存丢失：才过去 {passed}，也许是 API 的另一台机器作答，或者缓存已被清掉"
    ),
    "changed: the part before the difference is too short to be cached": "提示词变了：改动之前的部分太短，不会被缓存",
    "changed: the API had cached the prompt up to the difference": "提示词变了：API 缓存到改动之前为止",
    "unmarked: neither request has a cache_control, without which this API caches nothing": (
        "没有标记：两次请求都没有 cache_control，而这个 API 没有它就不缓存"
    ),
    "not ended: the earlier call was in flight when this began, so its prompt may not have been cached yet": (
        "前一次还没结束：这次开始时前一次调用还在进行，它的提示词可能还没有进缓存"
    ),
    "other model: models do not share caches": "换了模型：不同的模型不共用缓存",
    "call {id} continues none of the (at most 50) calls before it{cached}": (
        "调用 {id} 没有接着之前的调用（最多比较 50 次）往下说{cached}"
    ),
    ", yet {count} of its {all} prompt tokens were cached: another call, older or not in this store, began in the same "
    "way": "，但 {all} 个提示词 token 中有 {count} 个命中缓存：另有开头相同的调用，更早，或者不在这个库里",
    ": none of them has a message in common with it, or a prompt nearly like it": (
        "：没有一次与它有相同的消息，也没有相近的提示词"
    ),
}
SCREEN = {
    "why": "原因",
    "explained": "解释",
    "reported": "上报",
    "asked": "提问",
    "answered": "回答",
    "tokens": "token",
    "time": "时间",
    "cache": "缓存",
    "warnings": "警告",
    "labels": "标注",
    "ids": "id",
    "next": "接下来",
    "stream": "流式",
    "forced stream": "强制流式",
    "by mpal {name}": "由 mpal {name} 发起",
    "thinking": "思考",
    "calls": "调用",
    "({count} characters)": "（{count} 个字符）",
    "{count} more messages": "另有 {count} 条消息",
    "{count} more lines": "还有 {count} 行",
    "at least {count} more lines": "至少还有 {count} 行",
    "{prompt} prompt{cached} + {completion} completion{reasoning}{limit}{cost}": (
        "输入 {prompt}{cached} + 输出 {completion}{reasoning}{limit}{cost}"
    ),
    " ({count} cached)": "（缓存 {count}）",
    " ({count} reasoning)": "（推理 {count}）",
    ", limit {count}": "，上限 {count}",
    "; cost {amount}": "；费用 {amount}",
    "headers {time}": "响应头 {time}",
    "first token {time}": "首 token {time}",
    "first visible token {time}": "首个可见 token {time}",
    "total {time}": "总时长 {time}",
    "{rate} tokens/s": "每秒 {rate} 个 token",
    "longest stall {time} (at {start})": "最长停顿 {time}（从 {start} 起）",
    "longest stall {time} (at {start}, before the end)": "最长停顿 {time}（从 {start} 起，直到结束）",
    "context cache {outcome}": "上下文缓存 {outcome}",
    "{share} of the prompt was cached": "提示词的 {share} 命中缓存",
    "tags {names}": "标签 {names}",
    "by {model}, {when}: {command}": "{model}，{when}：{command}",
    "by {model}, {when}, with {count} more: {command}": "{model}，{when}，与另外 {count} 次调用一起：{command}",
}

OUTCOMES = {
    "running": "进行中",
    "cut by max_tokens": "被 max_tokens 截断",
    "cut by a full context": "上下文已满而截断",
    "ended without a finish reason": "没有结束原因",
    "the stream ended early": "流提前结束",
    "your program hung up": "你的程序断开了",
    "the API sent nothing more": "API 不再发送数据",
    "the API broke off": "API 中断了",
    "the API reset the connection": "API 重置了连接",
    "the API refused the connection": "API 拒绝连接",
    "the API is unreachable": "API 不可达",
    "the API's host is unknown": "API 的主机名无法解析",
    "no TLS connection to the API": "与 API 的 TLS 连接失败",
    "stopped for repeating itself": "因重复而停止",
    "the proxy was stopped": "代理已停止",
    "the proxy died": "代理异常退出",
    "error in the answer": "回答中有错误",
    "not a valid HTTP request": "不是合法的 HTTP 请求",
    "stopped by hand": "被手动停止",
    "request too large": "请求过大",
    "your program sent nothing more": "你的程序不再发送数据",
    "idle for too long": "空闲太久",
    "the upstream proxy failed": "上游代理出错",
    "the endpoint is this proxy": "endpoint 指向了代理自己",
    "the API's answer is not valid HTTP": "API 的响应不是合法的 HTTP",
    "too many open files": "打开的文件过多",
}
"""Outcomes; those that are missing here stay English."""

EXPLAINED = {
    "To {target}, about {count} tokens:": "发往 {target}，约 {count} 个 token：",
    "{model} at {url}": "{url} 的 {model}",
    "asking {target}": "正在询问 {target}",
    "Send it?": "发送吗？",
    "explained by {model} on {when}; --again asks again": "由 {model} 于 {when} 解释；加 --again 重新提问",
    "explained{took}{cost}; the request is call {id}": "解释完毕{took}{cost}；这次请求是调用 {id}",
    " in {time}": "，用时 {time}",
    " for {amount}": "，费用 {amount}",
}
REPORTED = {
    "to be sent to {to} after {when}": "等待发送到 {to}，不早于 {when}",
    "being sent to {to} since {when}": "{when} 起正在发送到 {to}",
    "sent to {to} at {when}": "已于 {when} 发送到 {to}",
    "not sent to {to} at {when}": "{when} 未能发送到 {to}",
    "sent to {to} at {when}, but it is in doubt whether it arrived": "已于 {when} 发送到 {to}，是否送达存疑",
    "by rule {rule}": "由规则 {rule} 发送",
    "for {count} calls": "代表 {count} 次调用",
}

CHINESE: Mapping[str, str] = (
    OUTCOMES | CUT | LOOPS | REFUSED | NETWORK | CACHE | PROMPTS | SCREEN | NO_FAULT | EXPLAINED | REPORTED
)
