"""What `build.py` has to know of the Italian prompts."""

from __future__ import annotations

import re

VOICE = "it_IT_m_Carlo"
WORD = re.compile(r"\w+")
KEYS = {"*": "asterisco", "#": "cancelletto"}
DIGITS = ("zero", "uno", "due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove")

FIXES = {
    # The package holds these with question marks in the place of accents.
    "at-tone-time-exactly": "Al segnale acustico, il tempo sarà esattamente",
    "cannot-complete-as-dialed": "La chiamata non può essere completata così come composta.",
    "conf-full": "La conferenza è piena.",
    "feature-not-avail-line": "Quella funzione non è attiva su questa linea.",
    "if-correct-press": "Se questo è corretto, premi",
    "num-was-successfully": "Il numero è stato con successo",
    "pm-invalid-option": "Quella opzione è invalida. Per piacere prova ancora.",
    "something-terribly-wrong": "Qualcosa è terribilmente sbagliato!",
    "speed-dial-empty": "La composizione rapida alla quale hai avuto accesso è vuota.",
    "unidentified-no-callback": "Non identificato, quindi non può essere richiamato.",
    # Two prompts in one line.
    "confbridge-mute-extended": (
        "Per disattivare o riattivare la propria voce. Quando la tua voce è disattivata non puoi mandare audio agli"
        " altri partecipanti. Però senti ancora l'audio degli altri partecipanti attivi."
    ),
    "vm-tempremoved": "Il tuo messaggio provvisorio di saluto è stato eliminato.",
    # Said in other words.
    "conf-adminmenu-18": (
        "Prego premere 1 per disattivare o riattivare la propria voce, 2 per bloccare o sbloccare la conferenza, 3 per"
        " espellere l'ultimo utente, 4 o 6 per ridurre o aumentare il volume della conferenza, 5 per prolungare la"
        " conferenza, 7 o 9 per diminuire o aumentare il proprio volume, o 8 per maggiori opzioni."
    ),
    "conf-adminmenu-menu8": (
        "Premere 1 per elencare gli utenti attualmente presenti nella conferenza, 2 per espellere tutti gli utenti non"
        " amministratori, 3 per disattivare o riattivare tutti gli utenti non amministratori, 4 per registrare questa"
        " conferenza, o 8 per uscire da questo menu e tornare alla conferenza."
    ),
    "conf-muted": "Voce disattivata.",
    "conf-placeintoconf": "Ora sarà inserito nella conferenza.",
    "confbridge-mute-in": "Per disattivare o riattivare la propria voce",
    "confbridge-mute-out": "per disattivare o riattivare la propria voce.",
    "confbridge-only-one": "C'è attualmente solo un altro partecipante alla conferenza.",
    "digits/hundred": "cento",
    "digits/thousands": "mila",
    "dir-instr": "Se questa è la persona che sta cercando premere 1, altrimenti premere asterisco.",
    "is": "È.",
    "please-try-call-later": "Per piacere, riprova ancora la tua chiamata più tardi.",
    "queue-thereare": "Attualmente lei è il chiamante numero",
    "screen-callee-options": (
        "Opzioni disponibili: premere 1 se desidera connettersi immediatamente alla chiamata in arrivo. Premere 2 se"
        " desidera mandare questo chiamante alla posta vocale. Premere 3 per mandare questo chiamante al menu di"
        " tortura. Premere 4 per mandare questo chiamante a un educato menu di non richiamare."
    ),
    "vm-rec-temp": (
        "Dopo il segnale acustico, registrare il proprio messaggio provvisorio, e quindi premere il tasto cancelletto."
    ),
    "vm-rec-unv": (
        "Dopo il segnale acustico registrare il proprio messaggio di non disponibile e quindi premere il tasto"
        " cancelletto."
    ),
    "vm-sorry": "Spiacente, non ho capito la risposta.",
    "vm-then-pound": "poi premere cancelletto",
    "vm-tohearenv": "premere 3 per ascoltare l'intestazione del messaggio",
    # A slash that is said.
    "dictate/play_help": (
        "premere 1 per passare alla modalità registrazione, premere 2 per attivare o disattivare la riproduzione"
        " accelerata, premere 7 per saltare all'indietro, premere 8 per saltare in avanti"
    ),
    "vm-opts-full": (
        "premere 2 per accedere ai messaggi salvati in altre cartelle. Premere 3 per registrare un messaggio per"
        " un'altra casella di posta. Premere 0 per la gestione dei messaggi di benvenuto e della password."
    ),
}
"""Transcripts that differ from what is said, as Whisper base hears it, or that the package holds damaged."""

UNCLEAR = {
    **dict.fromkeys(("beep", "beeperr", "confbridge-join", "confbridge-leave"), "a sound, not speech"),
    **dict.fromkeys(
        (
            *("spy-dahdi", "spy-h323", "spy-iax", "spy-iax2", "spy-jingle", "spy-local", "spy-local_LOCAL"),
            *(
                "spy-mgcp",
                "spy-misdn",
                "spy-mobile",
                "spy-nbs",
                "spy-sip",
                "spy-skinny",
                "spy-unistim",
                "spy-zap",
            ),
        ),
        "a product's name in English",
    ),
    "demo-congrats": "English words in an Italian sentence",
    "demo-moreinfo": "an address of the web",
    "letters/zed": "not an Italian name of a letter",
}
"""Prompts whose transcript does not tell what is said."""

SPELLING = {
    "e'": "è",
    "perpiacere": "per piacere",
    "cassella": "casella",
    "re-immessa": "reimmessa",
    "ri-registrare": "riregistrare",
    "menù": "menu",
}
"""Slips of the package's transcripts, as patterns, and words that it writes in two ways."""

AMBIGUOUS = re.compile(r"\b[B-DF-HJ-NP-Z]\b(?!')|[A-Z]{2}|^\w\.$|^(Hai|Ha|Un|Una|Alle|Con|Per|Da)\.$")
"""Transcripts that the sound does not decide: spelled letters, acronyms, single words that are hardly heard."""

FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
    adesso agli alla alle allo altra altre altri altro altrimenti anche ancora attualmente cerca cercata come
    composta con cosa così degli della delle dello devi devo dopo essere grazie hanno hai loro meno mentre
    molto momento nell nella nelle nessun nessuna nessuno nostra nostri nostro oppure però piacere più possa
    possibile potrà prego prema premere premi prima primo proprio propria puoi qualcosa quale quando quella
    quelle quello questa queste questi questo quindi sarà sarete sei sono sotto spiacente stata stato stai suo
    sua sulla sulle tasto tua tue tuo tuoi tutti tutte tutto ulteriori una uno verrà vostra zero due tre
    quattro cinque sette otto nove
        """,
    )
)
"""Words that are never keywords."""
