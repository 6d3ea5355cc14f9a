/**
 * The code of what `use` throws; undefined when it throws nothing. Errors that Node-API makes are of another realm than the test's Error,
 * so that codes are what tests compare.
 */
export function codeOf(use: () => unknown): string | undefined {
  try {
    use();
    return undefined;
  } catch (error) {
    return codeOfError(error);
  }
}

/** As codeOf for a promise, or for a function that may throw before it gives one. */
export async function codeOfAsync(use: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await use();
    return undefined;
  } catch (error) {
    return codeOfError(error);
  }
}

function codeOfError(error: unknown): string {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? code : String(error);
}
