/** Texts that try to become a script, a request, a command of a terminal, or something else. */

/** Each sets `window.pwned`, opens a dialog, or asks another host, if a page obeys it. */
export const HOSTILE_HTML = [
  '<script>window.pwned = 1; alert(1)</script>',
  '<img src="http://evil.invalid/i.png" onerror="window.pwned = 1">',
  '"><svg onload="window.pwned = 1">',
  "'-alert(1)-'",
  '<iframe srcdoc="<script>parent.pwned = 1</script>"></iframe>',
  '<a href="javascript:window.pwned=1">click</a>',
  '<style>@import "http://evil.invalid/s.css"; * { display: none }</style>',
  '<base href="http://evil.invalid/"><meta http-equiv="refresh" content="0; http://evil.invalid/">',
  '</title></textarea></script><script>window.pwned = 1</script>',
  '{{constructor.constructor("window.pwned = 1")()}}',
] as const;

export const HOSTILE_MARKDOWN = [
  '[click me](javascript:window.pwned=1)',
  '[click me](JaVaScRiPt&#58;window.pwned=1)',
  '[click me](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)',
  '![picture](http://evil.invalid/p.png)',
  '[ref]: javascript:window.pwned=1 "x"\n\n[ref]',
  '<http://evil.invalid/auto>',
  '`<img src=x onerror=window.pwned=1>`',
  '| a |\n|---|\n| <img src=x onerror=window.pwned=1> |',
] as const;

/** Sequences that a terminal would obey: clipboard, links, titles, queries, cursor, screen. */
export const HOSTILE_ANSI = [
  '\u001b]52;c;cHduZWQ=\u0007',
  '\u001b]8;;javascript:window.pwned=1\u0007click\u001b]8;;\u0007',
  '\u001b]0;pwned title\u0007',
  '\u001bP$q"p\u001b\\',
  '\u001b[2J\u001b[H\u001b[999;999H',
  '\u009b31mred\u009b0m',
  '\u001b[31;1mred\u001b[0m and \u001b[38;5;200mpink\u001b[0m',
  '\u202Egnp.exe\u202C',
] as const;

export const HOSTILE_TEXTS = [...HOSTILE_HTML, ...HOSTILE_MARKDOWN, ...HOSTILE_ANSI];
