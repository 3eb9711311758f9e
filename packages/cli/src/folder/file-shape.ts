/**
 * What a file that was read may look like: a check says the first thing that is wrong, or nothing. Every command reads the description of its cluster first; a library
 * for this is as much to load as all else that a command needs.
 */

/** The first thing that is wrong with a value, with its place; undefined when it is as it should be. */
export type Check = (value: unknown, place: string) => string | undefined

const unless = (isFit: (value: unknown) => boolean, wanted: string): Check => {
  return (value, place) => (isFit(value) ? undefined : `${place}: ${wanted} is expected`)
}
const isText = (value: unknown): value is string => typeof value === 'string'
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const text: Check = unless(isText, 'text')
export const words: Check = unless((value) => isText(value) && value !== '', 'text that is not empty')
export const flag: Check = unless((value) => typeof value === 'boolean', 'true or false')

/** A whole number in these bounds. */
export function whole(least = Number.MIN_SAFE_INTEGER, most = Number.MAX_SAFE_INTEGER): Check {
  const isFit = (value: unknown): boolean =>
    Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most
  return unless(isFit, 'a whole number in its bounds')
}

export function oneOf(...values: readonly unknown[]): Check {
  return unless(
    (value) => values.includes(value),
    `one of ${values.map((one) => JSON.stringify(one)).join(', ')}`,
  )
}

export function listOf(check: Check, least = 0): Check {
  return (value, place) => {
    if (!Array.isArray(value) || value.length < least) return `${place}: a list is expected`
    return first(value.map((one, index) => () => check(one, `${place}.${index}`)))
  }
}

/** Any names, each with such a value. */
export function namesTo(check: Check): Check {
  return (value, place) =>
    isObject(value)
      ? first(
          Object.entries(value).map(
            ([name, one]) =>
              () =>
                check(one, `${place}.${name}`),
          ),
        )
      : `${place}: names with values are expected`
}

/** These fields; others are left alone. */
export function fields(checks: Readonly<Record<string, Check>>): Check {
  return (value, place) =>
    isObject(value)
      ? first(
          Object.entries(checks).map(
            ([name, check]) =>
              () =>
                check(value[name], place === '' ? name : `${place}.${name}`),
          ),
        )
      : `${place === '' ? 'all of it' : place}: an object is expected`
}

/** It may be left out. */
export function optional(check: Check): Check {
  return (value, place) => (value === undefined ? undefined : check(value, place))
}

export function nullable(check: Check): Check {
  return (value, place) => (value === null ? undefined : check(value, place))
}

function first(checks: readonly (() => string | undefined)[]): string | undefined {
  for (const check of checks) {
    const problem = check()
    if (problem !== undefined) return problem
  }
  return undefined
}
