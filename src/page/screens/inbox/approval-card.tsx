/** One approval: what is asked, by which job, and the ways to answer. */
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from '../../../client/errors.ts';
import type { Approval, DecideRequest } from '../../../protocol/approval.ts';
import { formatTime } from '../../format.ts';
import { useLoad } from '../../load.ts';
import { client, may } from '../../server.ts';
import { visibleText } from '../../transcript/hostile.ts';
import { Button } from '../../ui/button.tsx';
import { useDraft } from '../../ui/draft.ts';
import { useKeys } from '../../ui/keys.tsx';
import { useOneAtATime } from '../../ui/one-at-a-time.ts';
import { Ago } from '../../ui/time.tsx';
import { done, failed } from '../../ui/toast.tsx';
import { ApprovalView, titleOf } from './approval-view.tsx';
import { type Answer, answersOf, Questions } from './questions.tsx';
import { commandOf, ruleLike } from './rule.ts';

/** What is asked of the user before it is sent. */
type Form = 'deny' | 'session' | 'edit';

/** What the keys do at the card where the keyboard is. */
let atCurrent: { readonly id: string; readonly allow: () => unknown; readonly deny: () => unknown } | null =
  null;

interface ApprovalCardProps {
  readonly approval: Approval;
  /** The keyboard is at this card. */
  readonly current: boolean;
  readonly onFocus: () => void;
  /** It was decided, here or elsewhere. */
  readonly onOver: () => void;
}

export function ApprovalCard({ approval, current, onFocus, onOver }: ApprovalCardProps) {
  const { id, jobId, kind, questions, createdAt, expiresAt } = approval;
  const [form, setForm] = useState<Form | null>(null);
  const [written, write] = useDraft(`answers ${id}`);
  // as: what `onChange` has written
  const answers = written === '' ? [] : (JSON.parse(written) as readonly Answer[]);
  const card = useCurrent(current);
  const canDecide = may('approvals:decide');
  const isQuestion = kind === 'question' && questions !== null;
  const given = isQuestion ? answersOf(questions, answers) : null;

  /** Returns whether it is decided. */
  const decide = async (request: DecideRequest, text: string): Promise<boolean> => {
    try {
      await client.approvals.decide(id, request);
      done(text);
    } catch (error) {
      failed(error);
      const isOver = error instanceof ApiError && error.code === 'approval.already_decided';
      if (!isOver) return false;
    }
    write('');
    onOver();
    return true;
  };
  const allow = (): unknown => {
    if (!isQuestion) return decide({ decision: 'allow' }, 'Allowed');
    if (given !== null) return decide({ decision: 'allow', answers: given }, 'Answered');
    return card.current?.querySelector<HTMLElement>('fieldset input')?.focus();
  };
  if (current) atCurrent = { id, allow, deny: () => setForm('deny') };
  else if (atCurrent?.id === id) atCurrent = null;
  useEffect(
    () => () => {
      if (atCurrent?.id === id) atCurrent = null;
    },
    [id],
  );
  // Every card has the same keys, so that they work from the moment in which it is the current one.
  useKeys(
    canDecide
      ? [
          { keys: 'a', does: 'allow what is asked', act: () => atCurrent?.allow() },
          { keys: 'd', does: 'deny what is asked', act: () => atCurrent?.deny() },
        ]
      : [],
  );
  return (
    <article
      ref={card}
      class={current ? 'card approval-card current' : 'card approval-card'}
      tabIndex={-1}
      aria-label={titleOf(approval)}
      onFocusIn={onFocus}
    >
      <header>
        <h3>{titleOf(approval)}</h3>
        <span class="spread soft" title={`No answer by ${formatTime(expiresAt)} ends the job`}>
          asked <Ago at={createdAt} /> · expires <Ago at={expiresAt} />
        </span>
      </header>
      <div class="inside stack">
        {isQuestion ? (
          <Questions
            id={id}
            questions={questions}
            answers={answers}
            onChange={(next) => write(JSON.stringify(next))}
            disabled={!canDecide}
          />
        ) : (
          <ApprovalView approval={approval} />
        )}
        <Asker jobId={jobId} />
        {canDecide && form === null && (
          <div class="row decide">
            <Button look="primary" shortcut="a" disabled={isQuestion && given === null} onPress={allow}>
              {isQuestion ? 'Answer' : 'Allow'}
            </Button>
            <Button shortcut="d" onPress={() => setForm('deny')}>
              {isQuestion ? 'Do not answer …' : 'Deny …'}
            </Button>
            {kind === 'tool' && (
              <>
                <Button look="plain" onPress={() => setForm('session')}>
                  Allow in session …
                </Button>
                <Button look="plain" onPress={() => setForm('edit')}>
                  Edit …
                </Button>
              </>
            )}
          </div>
        )}
        {form !== null && (
          <DecideForm
            key={form}
            form={form}
            approval={approval}
            decide={decide}
            onClose={() => setForm(null)}
          />
        )}
      </div>
    </article>
  );
}

/** Takes the focus when the keyboard comes to it. */
export function useCurrent(current: boolean) {
  const element = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    const { current: own } = element;
    if (!current || own === null || own.contains(document.activeElement)) return;
    own.focus({ preventScroll: true });
    own.scrollIntoView({ block: 'nearest' });
  }, [current]);
  return element;
}

/** The job that asks. */
function Asker({ jobId }: { readonly jobId: string }) {
  const job = useLoad(
    (signal) => (may('jobs:read') ? client.get(jobId, { signal }) : Promise.resolve(null)),
    [jobId],
  );
  return (
    <p class="asker clip">
      <span class="soft">For </span>
      <a href={`/jobs/${jobId}`} dir="auto">
        {job.data === null ? 'its job' : visibleText(job.data.prompt.trim().slice(0, 200))}
      </a>
    </p>
  );
}

interface DecideFormProps {
  readonly form: Form;
  readonly approval: Approval;
  readonly decide: (request: DecideRequest, text: string) => Promise<boolean>;
  readonly onClose: () => void;
}

const LABELS = {
  deny: { label: 'What the agent reads, if you like', button: 'Deny' },
  session: { label: 'Allow such calls until the session ends', button: 'Allow in this session' },
  edit: { label: 'What runs instead', button: 'Allow this' },
} as const;

function DecideForm({ form, approval, decide, onClose }: DecideFormProps) {
  const command = commandOf(approval.input);
  const [text, setText] = useDraft(
    `${form} ${approval.id}`,
    form === 'session'
      ? ruleLike(approval)
      : form === 'edit'
        ? (command ?? JSON.stringify(approval.input, null, 2))
        : '',
  );
  const [problem, setProblem] = useState<string | null>(null);
  const field = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => field.current?.focus(), []);
  const { label, button } = LABELS[form];
  const [send] = useOneAtATime(async () => {
    const request = requestOf(form, text, approval);
    if (typeof request === 'string') setProblem(request);
    else if (await decide(request, form === 'deny' ? 'Denied' : 'Allowed')) setText('');
  });
  const id = `${approval.id}-${form}`;
  return (
    <form
      class="stack"
      onSubmit={(event) => event.preventDefault()}
      onKeyDown={(event) => {
        if (event.key === 'Escape') onClose();
        if (event.key === 'Enter' && (event.metaKey || event.ctrlKey)) void send();
      }}
    >
      <div class="field">
        <label for={id}>{label}</label>
        <textarea
          ref={field}
          id={id}
          class={form === 'deny' ? 'input' : 'input mono'}
          rows={Math.min(14, Math.max(form === 'edit' ? 3 : 2, text.split('\n').length))}
          maxLength={form === 'deny' ? 8192 : undefined}
          aria-invalid={problem !== null}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        {problem !== null && <span class="problem">{problem}</span>}
        {form === 'session' && (
          <span class="hint">A rule such as Bash(git push *). Empty: every call of {approval.tool}.</span>
        )}
      </div>
      <div class="row">
        <Button look={form === 'deny' ? 'danger' : 'primary'} onPress={send}>
          {button}
        </Button>
        <Button look="plain" onPress={onClose}>
          Back
        </Button>
      </div>
    </form>
  );
}

/** The decision, or what is wrong with the text. */
export function requestOf(
  form: Form,
  text: string,
  { input }: Pick<Approval, 'input'>,
): DecideRequest | string {
  if (form === 'deny') return { decision: 'deny', ...(text.trim() === '' ? {} : { message: text.trim() }) };
  if (form === 'session')
    return { decision: 'allow', scope: 'session', ...(text.trim() === '' ? {} : { rule: text.trim() }) };
  if (commandOf(input) !== null) return { decision: 'allow', input: { ...Object(input), command: text } };
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return 'The input has to be a JSON object.';
    return { decision: 'allow', input: { ...value } };
  } catch (error) {
    return `This is not JSON: ${error instanceof Error ? error.message : String(error)}`;
  }
}
