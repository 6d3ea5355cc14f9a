/** The device that HAX_BACKEND names: undefined where it is not set, empty or `auto`, and the first one that exists is opened. */
export function backendOfEnvironment(): string | undefined {
  const { HAX_BACKEND: name } = process.env;
  return name === '' || name === 'auto' ? undefined : name;
}
