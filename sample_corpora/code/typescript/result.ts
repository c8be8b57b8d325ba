// SPDX-License-Identifier: MIT
// A value or an error, so that failures show up in the types of functions.

export type Result<T, E = Error> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: E };

export function ok<T>(value: T): Result<T, never> {
  return { ok: true, value };
}

export function fail<E>(error: E): Result<never, E> {
  return { ok: false, error };
}

export function map<T, U, E>(result: Result<T, E>, change: (value: T) => U): Result<U, E> {
  return result.ok ? ok(change(result.value)) : result;
}

export function andThen<T, U, E, F>(
  result: Result<T, E>,
  next: (value: T) => Result<U, F>,
): Result<U, E | F> {
  return result.ok ? next(result.value) : result;
}

/** Turns a list of results into a result of a list; the first error wins. */
export function all<T, E>(results: Iterable<Result<T, E>>): Result<T[], E> {
  const values: T[] = [];
  for (const result of results) {
    if (!result.ok) return result;
    values.push(result.value);
  }
  return ok(values);
}

/** Runs a function that may throw, and catches what it throws. */
export function attempt<T>(body: () => T): Result<T, Error> {
  try {
    return ok(body());
  } catch (thrown) {
    return fail(thrown instanceof Error ? thrown : new Error(String(thrown)));
  }
}

export function parsePort(text: string): Result<number, string> {
  const port = Number(text);
  if (!Number.isInteger(port)) return fail(`"${text}" is not a whole number`);
  if (port < 1 || port > 65535) return fail(`${port} is not between 1 and 65535`);
  return ok(port);
}
