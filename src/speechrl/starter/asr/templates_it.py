"""The grammar of `templates` for Italian: menus, voicemail, numbers, dates, names, addresses, confirmations.

`sentence(rng)` draws one sentence. Words that a noun must agree with are drawn together with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from num2words import num2words

from speechrl.starter.asr.templates import expand, options

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

_LETTERS = "ABCDEFGHILMNOPQRSTUVZ"


def number_words(value: int | float, kind: str = "cardinal") -> str:
    """Spell a number as spoken Italian; `kind` is num2words' `to`."""
    return str(num2words(value, to=kind, lang="it"))


def _digits(rng: random.Random, count: int) -> str:
    spoken = [number_words(rng.randrange(10)) for _ in range(count)]
    return ", ".join(" ".join(spoken[start : start + 3]) for start in range(0, count, 3))


def _time(rng: random.Random) -> str:
    hour = rng.randint(2, 23)
    minute = rng.choice([0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, rng.randint(1, 59)])
    spoken = f"le {number_words(hour)}"
    if minute == 0:
        return spoken + rng.choice(["", " in punto"])
    if minute == 30 and rng.random() < 0.5:
        return f"{spoken} e mezza"
    if minute == 15 and rng.random() < 0.5:
        return f"{spoken} e un quarto"
    return f"{spoken} e {number_words(minute)}"


def _money(rng: random.Random) -> str:
    euros = number_words(rng.choice([rng.randint(2, 30), rng.randint(2, 2500)]))
    return f"{euros} euro" if rng.random() < 0.5 else f"{euros} euro e {number_words(rng.randint(2, 99))}"


def _number(rng: random.Random) -> str:
    return number_words(rng.choice([rng.randint(2, 20), rng.randint(20, 99), rng.randint(100, 9999)]))


GENERATED: dict[str, Callable[[random.Random], str]] = {
    "digit": lambda rng: number_words(rng.randrange(10)),
    "few": lambda rng: number_words(rng.randint(2, 12)),
    "number": _number,
    "decimal": lambda rng: number_words(rng.randint(1, 99) + rng.randint(1, 9) / 10),
    "ordinal": lambda rng: number_words(rng.randint(1, 31), "ordinal"),
    "year": lambda rng: number_words(rng.randint(1880, 2035)),
    "percent": lambda rng: f"{number_words(rng.randint(2, 100))} per cento",
    "code": lambda rng: _digits(rng, rng.randint(3, 6)),
    "phone": lambda rng: _digits(rng, rng.randint(6, 10)),
    "time": _time,
    "money": _money,
    "month_day": lambda rng: number_words(rng.randint(2, 31)),
    "house": lambda rng: number_words(rng.randint(1, 300)),
    "letter": lambda rng: rng.choice(_LETTERS),
    "spell": lambda rng: ", ".join(rng.choice(_LETTERS) for _ in range(rng.randint(2, 4))),
}

RULES: dict[str, tuple[str, ...]] = {
    "first": options(
        "Marco|Giulia|Andrea|Francesca|Luca|Chiara|Matteo|Sara|Davide|Martina|Paolo|Anna|Stefano|Elena|Roberto|Laura|"
        "Giovanni|Valentina|Antonio|Silvia|Giuseppe|Paola|Mario|Lucia|Alberto|Federica|Franco|Rosa|Pietro|Teresa|"
        "Enrico|Claudia|Simone|Alice|Riccardo|Irene|Giorgio|Beatrice|Carlo|Marta|Filippo|Monica|Daniele|Angela|"
        "Emilio|Caterina"
    ),
    "last": options(
        "Rossi|Russo|Ferrari|Esposito|Bianchi|Romano|Colombo|Ricci|Marino|Greco|Bruno|Gallo|Conti|De Luca|Mancini|"
        "Costa|Giordano|Rizzo|Lombardi|Moretti|Barbieri|Fontana|Santoro|Mariani|Rinaldi|Caruso|Ferrara|Galli|Martini|"
        "Leone|Longo|Gentile|Martinelli|Vitale|Serra|Coppola|De Santis|Marchetti|Parisi|Villa|Conte|Ferri|Fabbri|"
        "Bianco|Marini"
    ),
    "person": options(
        "{first} {last}|{first}|il signor {last}|la signora {last}|il dottor {last}|la dottoressa {last}"
    ),
    "city": options(
        "Roma|Milano|Napoli|Torino|Palermo|Genova|Bologna|Firenze|Bari|Catania|Venezia|Verona|Messina|Padova|Trieste|"
        "Brescia|Parma|Taranto|Prato|Modena|Reggio Emilia|Perugia|Ravenna|Livorno|Cagliari|Foggia|Rimini|Salerno|"
        "Ferrara|Sassari|Siracusa|Pescara|Bergamo|Vicenza|Trento|Lecce|Pisa|Lucca|Siena|Parigi|Londra|Berlino|Madrid|"
        "Vienna|Zurigo"
    ),
    "street": options(
        "via Roma|via Garibaldi|via Mazzini|via Dante|via Verdi|via Cavour|piazza San Marco|viale Europa|"
        "corso Italia|via della Stazione|via dei Fiori|viale dei Pini|largo Augusto|via del Mare|via Monte Rosa|"
        "corso Vittorio Emanuele|piazza del Duomo|via Manzoni|vicolo del Pozzo|strada statale {few}|"
        "via San Francesco|viale della Libertà"
    ),
    "day": options("lunedì|martedì|mercoledì|giovedì|venerdì|sabato|domenica"),
    "month": options(
        "gennaio|febbraio|marzo|aprile|maggio|giugno|luglio|agosto|settembre|ottobre|novembre|dicembre"
    ),
    "date": options(
        "{day} {month_day} {month}|il {month_day} {month}|il primo {month}|il {month_day} {month} {year}|"
        "{month} {year}"
    ),
    "when": options(
        "oggi|domani|ieri|dopodomani|stasera|domani mattina|questa settimana|{day} prossimo|tra {few} minuti|"
        "più tardi|tra {few} giorni|{day} alle ore {few}|nel pomeriggio|tra poco|a mezzogiorno|la settimana prossima|"
        "adesso|subito"
    ),
    "department": options(
        "le vendite|l'assistenza tecnica|l'amministrazione|il servizio clienti|la segreteria|il magazzino|"
        "l'ufficio del personale|la fatturazione|il pronto soccorso|la biglietteria|un operatore|la contabilità|"
        "l'ufficio prenotazioni|il reparto spedizioni|la direzione|l'ufficio reclami|la farmacia|il laboratorio"
    ),
    "key": options("{digit}|{digit}|{digit}|cancelletto|asterisco|il tasto {digit}|il tasto asterisco"),
    "menu_action": options(
        "ascoltare i nuovi messaggi|tornare al menu precedente|parlare con un consulente|cambiare la lingua|"
        "conoscere il saldo|pagare una bolletta|segnalare un guasto|prenotare una visita|annullare la prenotazione|"
        "ripetere le opzioni|confermare l'ordine|ricevere una copia della fattura|modificare il codice segreto|"
        "cancellare la registrazione|salvare il messaggio|aggiungere un numero|attivare il servizio|"
        "disattivare la segreteria|inoltrare la chiamata|uscire|continuare|abbassare il volume|alzare il volume|"
        "conoscere gli orari di apertura|ricevere assistenza|registrare un saluto|entrare nella riunione"
    ),
    "code_kind": options(
        "codice cliente|codice fiscale|numero della carta|numero di telefono|codice segreto|numero della pratica|"
        "numero d'ordine|codice di accesso|codice postale|numero di conto|numero dell'interno|prefisso"
    ),
    "thing": options(
        "Il messaggio è stato {done_m}|Il pacco è stato {done_m}|L'ordine è stato {done_m}|"
        "Il pagamento è stato {done_m}|Il servizio è stato {done_m}|Il volo è stato {done_m}|"
        "La richiesta è stata {done_f}|La chiamata è stata {done_f}|La prenotazione è stata {done_f}|"
        "La riunione è stata {done_f}|La password è stata {done_f}|La carta è stata {done_f}|"
        "Il documento è stato {done_m}|La consegna è stata {done_f}|L'appuntamento è {state_m}|Il numero è {state_m}|"
        "La linea è {state_f}|L'ufficio è {state_m}|La casella è {state_f}|Il sistema è {state_m}|"
        "La sala è {state_f}|La registrazione è {state_f}|Il conto è {state_m}|L'interno è {state_m}|"
        "La porta è {state_f}"
    ),
    "done_m": options(
        "inviato|ricevuto|annullato|cancellato|salvato|registrato|accettato|rifiutato|spostato|confermato|aggiornato|"
        "consegnato|trovato|bloccato|attivato|disattivato|modificato|interrotto|completato|rinviato|trasferito"
    ),
    "done_f": options(
        "inviata|ricevuta|annullata|cancellata|salvata|registrata|accettata|rifiutata|spostata|confermata|aggiornata|"
        "consegnata|trovata|bloccata|attivata|disattivata|modificata|interrotta|completata|rinviata|trasferita"
    ),
    "state_m": options(
        "occupato|libero|pieno|vuoto|chiuso|aperto|disponibile|non disponibile|pronto|scaduto|sbagliato|in uso|"
        "corretto|fuori servizio|troppo corto|sconosciuto|attivo|non valido|sospeso|in ritardo|"
        "momentaneamente irraggiungibile"
    ),
    "state_f": options(
        "occupata|libera|piena|vuota|chiusa|aperta|disponibile|non disponibile|pronta|scaduta|sbagliata|in uso|"
        "corretta|fuori servizio|troppo corta|sconosciuta|attiva|non valida|sospesa|in ritardo|"
        "momentaneamente irraggiungibile"
    ),
    "object": options(
        "il caffè|il pane|la chiave|la bicicletta|la macchina|il libro|il giornale|l'ombrello|la giacca|l'orologio|"
        "la lampada|il tavolo|la sedia|lo specchio|la chitarra|il martello|la coperta|la candela|la bottiglia|"
        "il biglietto|la valigia|il computer|la tastiera|lo zaino|gli occhiali|le scarpe|i guanti|la lettera|il vino|"
        "l'acqua|la frutta"
    ),
    "room": options(
        "cucina|camera|salotto|bagno|garage|corridoio|ufficio|cantina|terrazza|giardino|soffitta"
    ),
    "weather": options(
        "sole|pioggia|neve|vento|nebbia|caldo|freddo|temporale|brutto tempo|bel tempo|foschia"
    ),
    "polite": options("Per favore|La preghiamo di|Si prega di|Può|Vuole|Adesso può|Dovrebbe"),
    "menu": options(
        "Per {department}, prema {key}.|Per {menu_action}, prema {key}.|Prema {key} per {menu_action}.|"
        "Se vuole {menu_action}, prema {key}.|Per {menu_action}, dica sì oppure prema {key}.|"
        "Digiti {key} per {menu_action}.|Premi {digit} per {menu_action}, oppure {digit} per {menu_action}.|"
        "Ha premuto {key}.|Premere {key} per {menu_action}.|"
        "Per {department}, premere {digit}. Per {department}, premere {digit}.|Per {department}, resti in linea.|"
        "Per {menu_action}, digitare {key}. Per {menu_action}, digitare {key}. Altrimenti, attenda.|"
        "Per {menu_action}, attenda il segnale.|Prema un tasto qualsiasi per {menu_action}."
    ),
    "prompt": options(
        "{polite} inserire il {code_kind}.|{polite} ripetere il {code_kind}.|Inserisca ora il {code_kind}.|"
        "Il {code_kind} non è corretto. Riprovi.|Il {code_kind} inserito è {code}.|Qual è il suo {code_kind}?|"
        "Non ho capito il {code_kind}.|Il nuovo {code_kind} è {code}.|Non abbiamo trovato quel {code_kind}.|"
        "{polite} digitare il {code_kind}, seguito da {key}.|Dica il {code_kind}, una cifra alla volta.|"
        "Attenda mentre controlliamo il {code_kind}.|Quando ha finito, prema {key}.|"
        "{polite} dire il nome della città."
    ),
    "status": options(
        "{thing}.|{thing}.|{thing} {when}.|Purtroppo, {lower_thing}.|Grazie, {lower_thing}.|"
        "Attenzione: {lower_thing}.|Mi risulta che {lower_thing}.|Non è vero che {lower_thing}.|"
        "Può dirmi se {lower_thing}?"
    ),
    "lower_thing": options(
        "il messaggio è stato {done_m}|il pacco è stato {done_m}|la richiesta è stata {done_f}|la linea è {state_f}|"
        "la prenotazione è stata {done_f}|l'ordine è {state_m}|il numero chiamato è {state_m}|la carta è {state_f}|"
        "il volo per {city} è stato {done_m}|il suo conto è {state_m}|la riunione di {day} è stata {done_f}"
    ),
    "voicemail": options(
        "Ciao, sono {first}. Richiamami al {phone}.|Buongiorno, qui è {person}. Chiamo per l'ordine numero {number}.|"
        "Ha {few} messaggi nuovi e {few} messaggi vecchi.|Messaggio numero {few}, ricevuto {date}.|"
        "Sono fuori ufficio fino a {day}.|Messaggio da {phone}.|Fine del messaggio {few}.|"
        "Chiamata persa da {person}.|Lasci il nome e il numero, e {person} la richiamerà {when}.|"
        "Mi dispiace, ora non posso rispondere.|La casella è piena al {percent}.|"
        "C'è un messaggio urgente da {person}.|Ti richiamo {when}.|Non c'è nessuna registrazione di {day}.|"
        "Sono {first}, arrivo {when}."
    ),
    "queue": options(
        "Benvenuto.|Grazie per aver chiamato. Come possiamo aiutarla?|Lei è il numero {few} in coda.|"
        "Il tempo di attesa è di circa {few} minuti.|Gli operatori sono impegnati in altre conversazioni.|"
        "La chiamata potrebbe essere registrata.|Un attimo, la metto in contatto con {department}.|"
        "I nostri uffici sono aperti dalle {few} alle {few}, dal {day} al {day}.|Siamo chiusi di {day}.|"
        "Ci sono {few} persone prima di lei.|La invitiamo a richiamare {when}.|{person} è entrato nella riunione.|"
        "Ci sono {few} partecipanti.|{person} ha lasciato la sala.|La riunione comincia {when}.|Non riagganci."
    ),
    "figure": options(
        "{number}.|{number}|{decimal}|{code}|{phone}|Il numero è {number}.|Chiami il {phone}.|{percent}|{ordinal}|"
        "Il totale è di {money}.|{money}|Deve pagare {money}.|Il saldo è di {money}.|Il mio numero è {phone}.|"
        "La temperatura è di {few} gradi.|{decimal} chilometri|{few} ore e {few} minuti|{number} secondi|"
        "Interno {code}|Canale {few} di {few}|Pagina {number}|Stanza {number}|Volo {code}|Cartella {few}|"
        "Uscita {letter} {few}|Binario {few}|Meno {number}|{number} più {few}|{few} per {few} fa {number}|"
        "Linea {few}|{few} mila|Il {ordinal} piano|La {few} per cento|{few} milioni|{digit}, {digit}, {digit}"
    ),
    "calendar": options(
        "{date}|{date}|{time}|Sono {time}.|{day}, {time}|Oggi è {date}.|Ci vediamo {when}.|Il negozio chiude {when}.|"
        "Il treno per {city} parte dal binario {few}.|È nata {date}.|Nel {year} {first} andò a vivere a {city}.|"
        "Era il {year}.|Il concerto è {date}.|La prossima visita è {date}.|Ricordami {when} di chiamare {person}.|"
        "{few} giorni fa|{few} ore|{year}|L'appuntamento è per {date}.|Che giorno è {when}?|A che ora apre la banca?"
    ),
    "address": options(
        "{street}, {house}|{street}, numero {house}, {city}|Abito in {street}, a {city}.|Giri a destra in {street}.|"
        "Giri a sinistra e prosegua per {few} chilometri.|L'ufficio si trova in {street}.|"
        "La prossima uscita è {city}.|Spedisca il pacco a {person}, {street}, {house}.|È lontano da {street}?|{city}|"
        "{city} dista {number} chilometri.|Ci troviamo all'angolo con {street}.|Scala {letter}, interno {few}"
    ),
    "names": options(
        "{person}|{first} {last}|Chiama {person}.|Vorrei parlare con {person}.|{first} e {first}|Mi chiamo {first}.|"
        "Il mio cognome è {last}.|C'è {person}?|Chieda a {person}.|{spell}|{letter}|{letter} come {city}|"
        "{letter} come {first}|{person} lavora con {person}.|{person} arriva {when}.|Dov'è {person}?"
    ),
    "confirm": options(
        "Sì, è giusto.|No, è sbagliato.|Sì, grazie.|No, grazie.|Ha detto {number}?|Ha detto {date}, è giusto?|"
        "È sicuro?|Non ho sentito bene.|Lo ripeta, per cortesia.|D'accordo, {when}.|Esatto.|Ho capito {person}.|"
        "Certo, mi dica.|Non {when}, ma {when}.|Scusi, può ripetere?|Grazie, {first}.|Perfetto, a {day}.|"
        "Arrivederci, e grazie.|Buonasera, {person}.|Pronto, chi parla?|Non importa.|Un momento.|Vorrei {object}.|"
        "Intende {city} o {city}?|Vediamo.|Va bene così.|Quanto costa?|Fa {money}.|Ho bisogno di aiuto.|Non lo so.|"
        "Chi è?|Ne vorrei {few}."
    ),
    "command": options(
        "Accendi la luce in {room}.|Spegni la luce in {room}.|Imposta un timer di {few} minuti.|"
        "Svegliami alle {few}.|Che tempo fa a {city}?|Apri la finestra in {room}.|Chiudi la porta.|"
        "Manda un messaggio a {person}.|Fermati.|Leggi l'ultimo messaggio.|Ordina {few} pizze.|"
        "Trova un albergo a {city}.|Alza il volume al {percent}.|Cerca i voli per {city}.|Metti un po' di musica.|"
        "Aggiungi {object} alla lista.|Annulla tutto."
    ),
    "talk": options(
        "{when} ci sarà {weather} a {city}.|Ho perso {object} a {city}.|Dove hai messo {object}?|"
        "Porta {object}, {when}.|Abbiamo venduto {number} biglietti in {month}.|"
        "{first} ha comprato {object} per {money}.|Mi serve {object}.|"
        "Circa il {percent} degli abitanti di {city} lo sa.|I prezzi sono saliti del {percent}.|Non trovo {object}.|"
        "{first} cerca {object} in {room}.|Mi piace {object}, ma costa troppo.|Posso restituire {object} {when}?|"
        "Hai visto {object}?|Qualcuno ha preso {object}.|Con questo {weather} non esco.|{object}, per favore."
    ),
    "sentence": options(
        "{menu}|{menu}|{menu}|{prompt}|{prompt}|{status}|{status}|{status}|{voicemail}|{voicemail}|{queue}|{queue}|"
        "{figure}|{figure}|{calendar}|{calendar}|{address}|{names}|{confirm}|{command}|{talk}|{talk}|{status} {menu}|"
        "{prompt} {menu}|{queue} {menu}|{confirm} {status}|{queue} {prompt}|{menu} {menu}"
    ),
}


def sentence(rng: random.Random) -> str:
    """Draw one sentence of spoken-telephony Italian, first letter upper-case, no digits."""
    drawn = expand("{sentence}", rng, RULES, GENERATED)
    return drawn[0].upper() + drawn[1:]
