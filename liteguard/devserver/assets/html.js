// Templates: htm bound to Preact. Text that is put in is never read as markup.
import htm from "htm";
import { h } from "preact";

export const html = htm.bind(h);
