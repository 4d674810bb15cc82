import { AppError, messageOf } from '../errors.ts';
import type { HttpApp } from './http-app.ts';

/** Where to listen, and the variables that say so. */
export interface ListenAt {
  readonly host: string;
  readonly port: number;
  readonly hostVariable: string;
  readonly portVariable: string;
}

/**
 * Starts to listen and returns the server's URL.
 * @throws AppError config.invalid when the address cannot be used
 */
export async function listen(
  app: HttpApp,
  { host, port, hostVariable, portVariable }: ListenAt,
): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    const other = `${portVariable} names another one, 0 takes any that is free`;
    if (code === 'EADDRINUSE') throw noAddress(`port ${port} of ${host} is in use; ${other}`, error);
    if (code === 'EACCES') throw noAddress(`this user may not listen on port ${port}; ${other}`, error);
    throw noAddress(
      `the server cannot listen on ${host} (${hostVariable}), port ${port}: ${messageOf(error)}`,
      error,
    );
  }
}

const noAddress = (message: string, cause: unknown): AppError =>
  new AppError('config.invalid', message, { cause });
