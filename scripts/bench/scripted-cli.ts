/**
 * A CLI that costs next to nothing, in place of claude: a shell script that speaks as much of its
 * protocol as chats and approvals need. So what is measured is Bullpen.
 */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A prompt with the word `ask` makes it call a tool that a person has to allow. Its answer is the
 * time (ns) when it was allowed; a call that is to wait is made again. A prompt `say N` makes it
 * say the time (s) N times, five times a second, or `every` so many seconds, in paragraphs.
 * Each other prompt is answered with `ok`.
 */
const SCRIPT = String.raw`#!/bin/bash
case $1 in --version) echo '2.1.329 (Claude Code)'; exit ;; esac
id=
for arg; do case $arg in --resume=*) id=${'$'}{arg#*=} ;; esac; done
[ "$id" ] || read -r id < /proc/sys/kernel/random/uuid
asks=0

say() { printf '{%s,"session_id":"%s"}\n' "$1" "$id"; }
delta() {
  say "\"type\":\"stream_event\",\"parent_tool_use_id\":null,\"event\":{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"$1\"}}"
}
value() { rest=${'$'}{line#*\""$1"\":\"}; value=${'$'}{rest%%\"*}; }
# Asks for the call, and reads the answer into line.
ask() {
  asks=$((asks + 1))
  say "\"type\":\"control_request\",\"request_id\":\"ask-$asks\",\"request\":{\"subtype\":\"$1\",$2,\"tool_use_id\":\"toolu_$3\"}"
  IFS= read -r line || exit 0
}
hook() {
  ask hook_callback "\"callback_id\":\"call\",\"input\":{\"hook_event_name\":\"PreToolUse\",\"tool_name\":\"Bash\",\"tool_input\":{\"command\":\"true\"},\"tool_use_id\":\"toolu_$1\"}" "$1"
}
result() {
  say "\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"num_turns\":1,\"result\":\"$1\",$2\"user_message_uuids\":[\"$uuid\"],\"queued_turn_count\":0"
  say "\"type\":\"command_lifecycle\",\"command_uuid\":\"$uuid\",\"state\":\"completed\""
}

while IFS= read -r line; do
  case $line in
    *'"control_request"'*)
      value request_id
      say "\"type\":\"control_response\",\"response\":{\"subtype\":\"success\",\"request_id\":\"$value\",\"response\":{}}" ;;
    *'"type":"user"'*)
      prompt=$line
      value uuid; uuid=$value
      say '"type":"system","subtype":"init","model":"scripted","tools":[],"mcp_servers":[]'
      say "\"type\":\"command_lifecycle\",\"command_uuid\":\"$uuid\",\"state\":\"started\""
      case $prompt in
        *ask*)
          hook 1
          ask can_use_tool '"tool_name":"Bash","input":{"command":"true"}' 1
          case $line in
            *'"behavior":"allow"'*)
              result "$(date +%s%N)" '"terminal_reason":"completed",'
              continue ;;
          esac
          hook 2
          result '' '"stop_reason":"tool_deferred","terminal_reason":"tool_deferred","deferred_tool_use":{"id":"toolu_2","name":"Bash","input":{"command":"true"}},' ;;
        *'say '*)
          times=${'$'}{prompt#*say }; times=${'$'}{times%%[!0-9]*}
          wait=0.2
          lines=0
          case $prompt in *every*) wait=${'$'}{prompt#*every }; wait=${'$'}{wait%%[!0-9.]*}; lines=40 ;; esac
          exec {pause}<> <(:)
          while [ $((times--)) -gt 0 ]; do
            delta "$EPOCHREALTIME "
            [ $lines = 0 ] || [ $((times % lines)) != 0 ] || delta '\n\n'
            read -rt $wait -u $pause
          done
          result ok '"terminal_reason":"completed",' ;;
        *)
          delta ok
          say '"type":"assistant","parent_tool_use_id":null,"message":{"id":"msg_1","role":"assistant","model":"scripted","content":[{"type":"text","text":"ok"}],"usage":{"input_tokens":1,"output_tokens":1}}'
          result ok '"terminal_reason":"completed",' ;;
      esac ;;
  esac
done
`;

/** Writes the script into a folder. Returns its path. */
export function writeScriptedCli(folder: string): string {
  const path = join(folder, 'scripted-claude');
  writeFileSync(path, SCRIPT);
  chmodSync(path, 0o755);
  return path;
}
