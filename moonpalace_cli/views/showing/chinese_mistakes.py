"""Chinese translations of errors on the console's pages, and of mistakes in predicates."""

from __future__ import annotations

from collections.abc import Mapping

PAGES = {
    "no stored call has id {id}": "没有编号为 {id} 的调用",
    "no call matches the filter": "没有符合筛选条件的调用",
    "there is no page {path}": "没有这个页面：{path}",
    "give a filter, as in {example}": "请给出筛选条件，例如 {example}",
    "name two different calls by their ids, as in {example}": "请用编号指定两次不同的调用，例如 {example}",
    "this takes more than {seconds} s: narrow the filter, for example with {example}": (
        "超过了 {seconds} 秒：请缩小筛选范围，例如加上 {example}"
    ),
    "the console is stopping": "控制台正在停止",
    "the database refuses: {why}": "数据库拒绝了：{why}",
    "open the console by the address with a token that mpal web, or mpal start, printed": (
        "请用 mpal web 或 mpal start 打印出来的带令牌的地址打开控制台"
    ),
    "something went wrong: see the log of mpal web or mpal start": ("出错了：原因见 mpal web 或 mpal start 的日志"),
    "something went wrong: see the terminal of mpal web": "出错了：原因见 mpal web 的终端",
    "this text was sent already, or was shown too long ago: open the page again": (
        "这段内容已经发送过，或者显示得太久了：请重新打开页面"
    ),
    "{count} explanations are under way: wait until one has finished": "已有 {count} 个解释正在进行：请等其中一个完成",
    "call {id} is still under way: explain it when it has ended": "调用 {id} 还在进行：等它结束之后再解释",
    "{model} at {url} needs a key: start the console with the variable {name}, or name another endpoint under "
    "explain: in config.yaml": (
        "{url} 的 {model} 需要 Key：启动控制台时设置变量 {name}，或者在 config.yaml 的 explain: 下换一个 endpoint"
    ),
    "the explanation could not be stored: {why}": "解释没能入库：{why}",
}
PREDICATES = {
    "predicate: {what}": "表达式：{what}",
    "it ends too early": "没有写完",
    "it is empty": "是空的",
    "this string has no end": "这个字符串没有结束的引号",
    "a string does not belong here": "这里不该有字符串",
    "syntax error at character {number}": "第 {number} 个字符有语法错误",
    "expected {what} (put text in quotes)": "这里应该是{what}；文本要加引号",
    "expected {what} (equality is ==)": "这里应该是{what}；相等要写成 ==",
    "expected {what} (elements are written field.0)": "这里应该是{what}；数组元素要写成 field.0",
    "expected {what} ({character} is a full-width character: write {other})": (
        "这里应该是{what}；{character} 是全角字符，请写成 {other}"
    ),
    "expected {what}": "这里应该是{what}",
    "&&, || or the end": " &&、|| 或者到此为止",
    "an operator ({operators}), &&, || or the end": "运算符（{operators}）、&&、|| 或者到此为止",
    "did you mean {name}": "你是不是想写 {name}",
    "a field": "字段",
    "a field, as in: {example}": "字段，例如：{example}",
    "an operator ({operators})": "运算符（{operators}）",
    "a value (a quoted string, a number, true, false, NULL)": "值（带引号的字符串、数字、true、false 或 NULL）",
    "a list [..]": "列表 [..]",
    "there is no field {name}": "没有名为 {name} 的字段",
    "only == and != compare with true, false and NULL": "true、false 和 NULL 只能用 == 和 != 比较",
    "{comparator} takes a string": "{comparator} 后面要写字符串",
    "{name} is a number: compare it with one": "{name} 是数字，只能与数字比较",
    "{name} is text: compare it with a string": "{name} 是文本，只能与字符串比较",
    "{name} is a time: compare it with {examples}": "{name} 是时间，请与 {examples} 比较",
    "{name} is true or false: compare it with one of them by == or !=": "{name} 只有 true 和 false，请用 == 或 != 比较",
    "text is searched for words: text ~ 'words'": "text 用来搜索词语：text ~ '词语'",
}
MISTAKES: Mapping[str, str] = PAGES | PREDICATES
