/** The `bullpen` command. */
const USAGE = `bullpen: runs coding-agent CLIs as background jobs

  bullpen serve     start the server (HTTP API, workers, executor)
  bullpen --help    this text

Settings come from BULLPEN_* variables and bullpen.config.yaml; .env.example lists them all.
`;

/**
 * Runs one command; resolves with the exit code.
 * @param serve runs the server until it is stopped
 */
export async function runCommand(args: readonly string[], serve: () => Promise<number>): Promise<number> {
  const [name = 'serve', ...rest] = args;
  if (name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(USAGE);
    return 0;
  }
  if (name !== 'serve' || rest.length > 0) {
    process.stderr.write(`bullpen: there is no command ${[name, ...rest].join(' ')}\n\n${USAGE}`);
    return 64;
  }
  return serve();
}
