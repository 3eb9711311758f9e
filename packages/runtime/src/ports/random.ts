/** The randomness port: seeded in simulations. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number
  /** `bytes` random bytes as lower-case hexadecimal text, for ids. */
  hex(bytes: number): string
}
