// Every text of the page, by language. A test compares them: what one has the others have.

import { en } from "/static/words-en.js";
import { es } from "/static/words-es.js";

export const WORDS = { en, es };
