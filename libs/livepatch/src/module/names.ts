// Names that a kernel can have. A module's file may hold any bytes in their place.

/** A function's name as in /proc/kallsyms; KSYM_NAME_LEN is 512. Compilers add `.isra.0`, `.constprop.0`, `.llvm.123`. */
export const functionName = (text: string | null): string | null => text !== null && /^[A-Za-z_.$][\w.$]{0,510}$/.test(text) ? text : null

/** The name of a module, or vmlinux; MODULE_NAME_LEN is 56. */
export const objectName = (text: string | null): string | null => text !== null && /^[A-Za-z0-9_]{1,55}$/.test(text) ? text : null
