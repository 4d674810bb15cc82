/** A new job, or a batch of them. The options are those of the API's schema. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { CreateOptions } from '../../../client/client.ts';
import { ApiError } from '../../../client/errors.ts';
import type { Job } from '../../../protocol/job.ts';
import type { PromptRequest } from '../../../protocol/prompt.ts';
import { useLoad } from '../../load.ts';
import { go, useRoute } from '../../router.ts';
import { client } from '../../server.ts';
import { Button } from '../../ui/button.tsx';
import { useDraft } from '../../ui/draft.ts';
import { useOneAtATime } from '../../ui/one-at-a-time.ts';
import { Failure, Loading, messageOf } from '../../ui/states.tsx';
import { createSend } from '../../ui/unanswered.ts';
import { FieldInput } from './field-input.tsx';
import {
  beforeOf,
  changesOf,
  type Field,
  type Problem,
  problemAt,
  promptsIn,
  requestOf,
  type Texts,
} from './form-fields.ts';
import { readFields } from './read-fields.ts';
import { SentCommands } from './sent-commands.tsx';
import './new-job.css';

/** The fields by what they are about. Others of the schema come last. */
const GROUPS: readonly { readonly name: string; readonly fields: readonly string[] }[] = [
  {
    name: '',
    fields: ['provider', 'model', 'effort', 'cwd', 'permissionMode', 'onPermissionDenied', 'tags'],
  },
  { name: 'Tools and rights', fields: ['allowedTools', 'disallowedTools', 'approvalTimeoutMs'] },
  { name: 'Limits', fields: ['maxTurns', 'maxCostUsd', 'timeoutMs', 'idleTimeoutMs', 'limits'] },
  { name: 'When it runs', fields: ['priority', 'delayMs', 'runAt', 'ttlMs', 'concurrencyKey', 'sessionId'] },
  {
    name: 'After a failure or a usage limit',
    fields: ['retry', 'continuePrompt', 'autoContinue', 'onQuota', 'quotaTimeoutMs'],
  },
  {
    name: 'The answer',
    fields: ['appendSystemPrompt', 'outputSchema', 'background', 'providerOptions', 'metadata'],
  },
];

export function NewJobScreen() {
  const { query } = useRoute();
  const from = query.get('from');
  const loaded = useLoad(
    async (signal) => {
      const [fields, providers, recent, job] = await Promise.all([
        readFields(signal),
        client.providers({ signal }),
        client.list({ limit: 100 }, { signal }),
        from === null ? null : client.get(from, { signal }),
      ]);
      const models = [...new Set(recent.data.flatMap(({ model }) => model ?? []))];
      return { fields, providers: providers.map(({ name }) => name), models, job };
    },
    [from],
  );
  return (
    <div class="new-job">
      <header class="head">
        <h1>{from === null ? 'New job' : 'Again with changes'}</h1>
      </header>
      {loaded.data === null ? (
        loaded.error === null ? (
          <Loading lines={10} />
        ) : (
          <Failure error={loaded.error} retry={loaded.reload} />
        )
      ) : (
        <Form key={from ?? ''} {...loaded.data} />
      )}
    </div>
  );
}

interface FormProps {
  readonly fields: readonly Field[];
  readonly providers: readonly string[];
  readonly models: readonly string[];
  /** The job to make again. */
  readonly job: Job | null;
}

/** Outlives the screen, as the draft does. */
const sendOnce = createSend();

function Form({ fields, providers, models, job }: FormProps) {
  const [before] = useState(() => beforeOf(fields, job?.request ?? {}));
  const [texts, setTexts] = useState<Texts>(before.texts);
  const [prompt, setPrompt] = useDraft(job === null ? 'new job' : `again ${job.id}`, job?.prompt);
  const [problems, setProblems] = useState<readonly Problem[]>([]);
  const [failure, setFailure] = useState<string | null>(null);
  const box = useRef<HTMLTextAreaElement>(null);
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => box.current?.focus(), []);
  // That of a job is one prompt, whatever lines it has.
  const prompts = prompt === job?.prompt ? [prompt] : promptsIn(prompt);
  const { request, problems: own } = requestOf(fields, texts, before);
  const changes = changesOf(fields, request, before);
  // A new job that names the one before. It is not retried when something of it is to be left out.
  const retried = job?.finished === true && prompts.length < 2 && changes !== null ? job : null;
  const body = retried === null ? request : (changes ?? {});

  const [send] = useOneAtATime(async () => {
    setFailure(null);
    setProblems(own);
    if (own.length > 0) return showFirst();
    try {
      const jobs = { prompts: prompts.length === 0 ? [prompt] : prompts, body, retried };
      const place = await sendOnce([prompts, body, retried?.id], (options) => submit(jobs, options));
      setPrompt('');
      go(place);
    } catch (error) {
      setFailure(messageOf(error));
      setProblems(error instanceof ApiError ? error.errors : []);
      showFirst();
    }
  });
  /** The first field with a problem is where one goes on. */
  const showFirst = (): void =>
    void setTimeout(() => {
      const bad = form.current?.querySelector<HTMLElement>('[aria-invalid="true"]');
      const group = bad?.closest('details');
      if (group) group.open = true;
      bad?.focus();
    });
  const set = (path: string, text: string): void => setTexts({ ...texts, [path]: text });
  const shown = (field: Field) => (
    <FieldInput
      key={field.path}
      field={withChoices(field, providers)}
      text={texts[field.path] ?? ''}
      problem={problemAt(problems, field.path)}
      onText={(text) => set(field.path, text)}
      offers={field.path === '/model' ? models : []}
    />
  );
  const promptProblem = problemAt(problems, '/prompt');
  return (
    <form
      ref={form}
      class="stack"
      onSubmit={(event) => event.preventDefault()}
      onKeyDown={(event) => {
        if (event.key === 'Enter' && (event.metaKey || event.ctrlKey)) void send();
      }}
    >
      {job !== null && (
        <p class="soft">
          {retried === null
            ? 'It begins with every option of the job, and is not linked to it.'
            : 'It begins with every option of the job, and is a retry of it.'}
        </p>
      )}
      <div class="field prompt">
        <label for="prompt">Prompt</label>
        <textarea
          ref={box}
          id="prompt"
          class="input"
          rows={Math.min(24, Math.max(8, prompt.split('\n').length + 1))}
          placeholder="What should the agent do?"
          aria-invalid={promptProblem !== null}
          aria-describedby="prompt-about"
          value={prompt}
          onInput={(event) => setPrompt(event.currentTarget.value)}
        />
        <span class={promptProblem === null ? 'hint' : 'problem'} id="prompt-about">
          {promptProblem ?? 'A line --- begins another prompt: several prompts are a batch.'}
        </span>
      </div>
      {groupsOf(fields).map(({ name, own: inGroup }) =>
        name === '' ? (
          <div key={name} class="fields">
            {inGroup.map(shown)}
          </div>
        ) : (
          <details key={name} class="group">
            <summary>
              {name}
              <HowMany count={inGroup.filter(({ path }) => (texts[path] ?? '') !== '').length} />
            </summary>
            <div class="fields">{inGroup.map(shown)}</div>
          </details>
        ),
      )}
      {failure !== null && (
        <p class="notice bad" role="alert">
          {failure}
        </p>
      )}
      <div class="row send">
        <Button look="primary" shortcut="Control+Enter" disabled={prompt.trim() === ''} onPress={send}>
          {prompts.length > 1 ? `Send ${prompts.length} jobs` : 'Send'}
        </Button>
        <span class="soft">
          <kbd>Ctrl</kbd> <kbd>Enter</kbd>
        </span>
      </div>
      <SentCommands prompts={prompts} body={body} retried={retried} />
    </form>
  );
}

const HowMany = ({ count }: { readonly count: number }) =>
  count === 0 ? null : <span class="badge">{count} set</span>;

/** The server names its providers. */
const withChoices = (field: Field, providers: readonly string[]): Field =>
  field.path === '/provider' && providers.length > 0
    ? { ...field, kind: 'choice', hint: '', schema: { enum: providers } }
    : field;

function groupsOf(fields: readonly Field[]) {
  const nameOf = ({ path }: Field): string => path.split('/')[1] ?? '';
  const known = GROUPS.flatMap((group) => group.fields);
  const groups = [
    ...GROUPS,
    { name: 'More', fields: fields.map(nameOf).filter((name) => !known.includes(name)) },
  ];
  return groups
    .map(({ name, fields: names }) => ({
      name,
      own: names.flatMap((one) => fields.filter((field) => nameOf(field) === one)),
    }))
    .filter(({ own }) => own.length > 0);
}

/** Makes the jobs. Resolves with the place that shows them. */
async function submit(
  { prompts, body, retried }: { prompts: readonly string[]; body: object; retried: Job | null },
  options: CreateOptions,
): Promise<string> {
  const [prompt = '', ...others] = prompts;
  const requests: PromptRequest[] = prompts.map((one) => ({ ...body, prompt: one }));
  if (retried !== null) {
    const changed = prompt === retried.prompt ? {} : { prompt };
    const again = { from: 'start', ...body, ...changed } as const;
    return `/jobs/${(await client.retry(retried.id, again, options)).id}`;
  }
  if (others.length === 0) return `/jobs/${(await client.create({ ...body, prompt }, options)).id}`;
  const { id, items } = await client.createBatch(requests, options);
  const refused = items.flatMap((item) => ('error' in item ? [item.error] : []));
  const [first] = refused;
  if (first !== undefined && refused.length === items.length)
    throw new ApiError({ status: 400, code: first.code, detail: first.message, errors: first.errors });
  return `/batches/${id}`;
}
